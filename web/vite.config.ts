import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// Relative addresses, so that the pages can be served under any path of a proxy.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: { outDir: "../src/convscope/explorer/pages", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: false },
  test: { include: ["src/**/*.test.ts"] },
});
