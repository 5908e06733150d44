/** Where a replica stands between its start and its end. server.ts moves it on; the readiness probe shows it. */
export interface Lifecycle {
  phase: 'starting' | 'serving' | 'draining';
}
