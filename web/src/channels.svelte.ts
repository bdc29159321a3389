// All channels of a layer: their maps in one picture, and how to read it. Of a still picture, or of the camera.

import { api, picture, socketAddress, words, type LayerShown, type Prediction, type Scaling } from "./api";

/** What a grid of channels shows. */
export interface Sheet {
  shown: LayerShown;
  bitmap: ImageBitmap;
}

interface Asked {
  network: string;
  image: string;
  layer: string;
  scale: Scaling;
}

/** The maps of a layer for a picture. */
export async function sheetOf(asked: Asked, signal: AbortSignal): Promise<Sheet> {
  const [shown, bitmap] = await Promise.all([
    api.layer(asked, signal),
    picture(api.sprite(asked), signal).then(bitmapOf),
  ]);
  return { shown, bitmap };
}

function bitmapOf(blob: Blob): Promise<ImageBitmap> {
  return createImageBitmap(blob, { colorSpaceConversion: "none" });
}

/** The channel in whose cell a point of the sheet lies is the other way round: where a channel's cell begins. */
export function corner(shown: LayerShown, channel: number): [x: number, y: number] {
  return [(channel % shown.across) * shown.columns, Math.floor(channel / shown.across) * shown.rows];
}

/** Channels in the order they are shown. */
export function ordered(
  shown: LayerShown,
  by: "index" | "activation" | "selectivity",
  selectivity: (number | null)[] | null,
) {
  const all = shown.largest.map((_, channel) => channel);
  if (by === "activation") return [...shown.order];
  if (by === "selectivity" && selectivity) return all.sort((a, b) => (selectivity[b] ?? 0) - (selectivity[a] ?? 0));
  return all;
}

const FRAME_SIDE = 320;
const QUALITY = 0.8;
const RATE_OVER = 2000;

interface Wanted {
  network: string;
  layer: string | null;
  scale: Scaling;
}

/** The camera: its frames go to the server, one at a time; what it makes of each comes back. */
export class Camera {
  /** Whether it is running, or on its way. */
  on = $state(false);
  sheet = $state.raw<Sheet | null>(null);
  predictions = $state.raw<Prediction[]>([]);
  milliseconds = $state(0);
  /** Answers a second, of the last two. */
  rate = $state(0);
  error = $state("");
  stream = $state.raw<MediaStream | null>(null);

  #socket: WebSocket | null = null;
  #video: HTMLVideoElement | null = null;
  #canvas: OffscreenCanvas | null = null;
  #answered: number[] = [];
  #wanted: Wanted | null = null;
  #turn = 0;

  /** Begin. What goes wrong is said in `error`. */
  async start(video: HTMLVideoElement, wanted: Wanted): Promise<void> {
    const turn = ++this.#turn;
    this.on = true;
    this.error = "";
    this.#wanted = wanted;
    try {
      if (!navigator.mediaDevices) {
        throw new Error(
          "The browser gives the camera only to pages over HTTPS or of this machine; take a picture instead.",
        );
      }
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
      // It may have been stopped, and even begun anew, while somebody was asked to allow it.
      if (turn !== this.#turn) {
        stream.getTracks().forEach((track) => track.stop());
        return;
      }
      this.stream = stream;
      video.srcObject = stream;
      for (const track of stream.getTracks()) {
        track.onended = () => {
          if (stream !== this.stream) return;
          this.stop();
          this.error = "The camera has gone; choose a file or a sample.";
        };
      }
      await video.play();
      if (turn !== this.#turn) return;
      this.#video = video;
      this.#connect();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.stop();
      const name = error instanceof DOMException ? error.name : "";
      this.error =
        name === "NotAllowedError"
          ? "The camera is not allowed; allow it beside the address."
          : name === "NotFoundError"
            ? "There is no camera; choose a file or a sample."
            : name === "NotReadableError"
              ? "The camera gives no picture; another program may be using it."
              : words(error);
    }
  }

  /** Ask for another layer, network or scale from the next frame on. */
  want(wanted: Wanted): void {
    this.#wanted = wanted;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(wanted));
  }

  stop(): void {
    this.#turn++;
    this.on = false;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    if (this.#video) this.#video.srcObject = null;
    this.#video = null;
    this.#socket?.close();
    this.#socket = null;
    this.sheet = null;
    this.predictions = [];
    this.rate = 0;
    this.#answered = [];
  }

  /** The frame that is seen now, as a file. */
  async frame(): Promise<Blob | null> {
    if (!this.#video) return null;
    const { videoWidth, videoHeight } = this.#video;
    const canvas = new OffscreenCanvas(videoWidth, videoHeight);
    canvas.getContext("2d")!.drawImage(this.#video, 0, 0);
    return canvas.convertToBlob({ type: "image/png" });
  }

  #connect(): void {
    const socket = new WebSocket(socketAddress("camera"));
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify(this.#wanted));
      void this.#send();
      // A second in line, so that the server need not wait for the way there and back.
      void this.#send();
    };
    socket.onmessage = (message) => {
      void this.#send();
      void this.#take(message.data as ArrayBuffer);
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.stop();
      this.error = "The server has closed the camera's connection; start the camera again.";
    };
  }

  async #send(): Promise<void> {
    const video = this.#video;
    const socket = this.#socket;
    if (!video || socket?.readyState !== WebSocket.OPEN) return;
    const scale = FRAME_SIDE / Math.min(video.videoWidth, video.videoHeight);
    const [width, height] = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
    if (!this.#canvas || this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas = new OffscreenCanvas(width, height);
    }
    this.#canvas.getContext("2d")!.drawImage(video, 0, 0, width, height);
    const blob = await this.#canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    if (socket.readyState === WebSocket.OPEN) socket.send(blob);
  }

  async #take(data: ArrayBuffer): Promise<void> {
    const length = new DataView(data).getUint32(0);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    if (told.error) {
      this.error = told.error;
      return;
    }
    const now = performance.now();
    this.#answered = [...this.#answered.filter((each) => now - each < RATE_OVER), now];
    const first = this.#answered[0]!;
    this.rate = this.#answered.length > 1 ? (1000 * (this.#answered.length - 1)) / (now - first) : 0;
    this.error = "";
    this.milliseconds = told.milliseconds;
    this.predictions = told.predictions;
    if (told.shown && this.on) {
      const bitmap = await bitmapOf(new Blob([new Uint8Array(data, 4 + length)]));
      const old = this.sheet;
      if (!this.on) return bitmap.close();
      this.sheet = { shown: told.shown, bitmap };
      // The grid may be drawing the old one until the next frame is painted.
      if (old) requestAnimationFrame(() => old.bitmap.close());
    }
  }
}
