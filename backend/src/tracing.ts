/**
 * Loaded before the program (`node --import`), because instrumentation must come before what it instruments. Without
 * OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is loaded.
 */
if (process.env.OTEL_EXPORTER_OTLP_ENDPOINT) {
  const { startTracing } = await import('./platform/tracing/tracing.ts');
  startTracing(process.env.INSTANCE_NAME ?? 'backend');
}
