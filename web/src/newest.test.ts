import { expect, test } from "vitest";
import { Newest } from "./newest";

function held() {
  const waiting: ((answer: string) => void)[] = [];
  const asked: number[] = [];
  const heard: (string | number)[] = [];
  const newest = new Newest<number, string>(
    (question) => (asked.push(question), new Promise((resolve) => waiting.push(resolve))),
    (answer, question) => heard.push(answer, question),
    (error) => heard.push(String(error)),
  );
  const answer = async (text: string) => {
    waiting.shift()!(text);
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { newest, asked, heard, answer };
}

test("one is asked at a time, then the newest, and none between", async () => {
  const { newest, asked, heard, answer } = held();
  for (const question of [1, 2, 3, 4]) newest.put(question);
  expect(asked).toEqual([1]);
  await answer("one");
  expect(asked).toEqual([1, 4]);
  await answer("four");
  expect(heard).toEqual(["one", 1, "four", 4]);
  newest.put(5);
  expect(asked).toEqual([1, 4, 5]);
});

test("what comes after it was stopped is not heard", async () => {
  const { newest, asked, heard, answer } = held();
  newest.put(1);
  newest.put(2);
  newest.stop();
  await answer("one");
  expect(asked).toEqual([1]);
  expect(heard).toEqual([]);
});

test("an error is told and the next question asked", async () => {
  const heard: string[] = [];
  const newest = new Newest<number, string>(
    async (question) => {
      if (question === 1) throw new Error("no");
      return "yes";
    },
    (answer) => heard.push(answer),
    (error) => heard.push((error as Error).message),
  );
  newest.put(1);
  await new Promise((resolve) => setTimeout(resolve));
  newest.put(2);
  await new Promise((resolve) => setTimeout(resolve));
  expect(heard).toEqual(["no", "yes"]);
});
