import { defineConfig } from 'vitest/config';

/** The built console in Chromium, in front of the real stack: one world for all files, so they run one after the other. */
export default defineConfig({
  test: { include: ['test/**/*.e2e.ts'], testTimeout: 60_000, hookTimeout: 120_000, fileParallelism: false },
});
