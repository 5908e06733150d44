/** Node strips the types itself; Jest needs only to be told how (test/support/strip-types.js). */
export default {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': './test/support/strip-types.js' },
  testMatch: ['<rootDir>/src/**/*.test.ts', '<rootDir>/test/**/*.test.ts'],
  globalSetup: './test/support/global-setup.ts',
  setupFilesAfterEnv: ['./test/support/clean-up.ts'],
  globalTeardown: './test/support/global-teardown.ts',
  testTimeout: 120_000, // a busy machine makes no test fail
  maxWorkers: 2,
  testSequencer: './test/support/sequencer.js',
  // The three programs, and what only a migration uses, run in the tests as processes of their own, where Jest counts nothing.
  collectCoverageFrom: [
    'src/**/*.ts',
    '!src/**/*.test.ts',
    '!src/{server,migrate,generate}.ts',
    '!src/platform/database/{concurrent-index,lock-waits}.ts',
  ],
  coverageThreshold: { global: { lines: 90, branches: 85 } },
  coverageProvider: 'v8',
  coverageReporters: ['text', 'lcov'],
};
