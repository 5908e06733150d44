/** Where a replica stands between its start and its end. server.ts moves it on; the readiness probe shows it. */
export interface Lifecycle {
  /** `serving` begins when the database is migrated and the traffic port is open. */
  phase: 'starting' | 'serving' | 'draining';
}
