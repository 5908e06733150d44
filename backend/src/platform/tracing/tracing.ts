import { register } from 'node:module';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { ExpressInstrumentation } from '@opentelemetry/instrumentation-express';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { VERSION } from '../version.ts';

const PROBES = /^\/(metrics|health\/)/;
let provider: TracerProvider | undefined;

/**
 * Sends a trace of every request to the collector at OTEL_EXPORTER_OTLP_ENDPOINT (which the exporter reads): its way
 * through Express, the statements to PostgreSQL, the commands to Redis. A `traceparent` header, which Nginx passes on, makes
 * it part of the caller's trace.
 */
export function startTracing(instance: string): void {
  // ES modules cannot be changed once they are loaded; these hooks wrap them while they load.
  register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
  provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'tandem',
      'service.version': VERSION,
      'service.instance.id': instance,
    }),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  registerInstrumentations({
    instrumentations: [
      new HttpInstrumentation({ ignoreIncomingRequestHook: ({ url = '' }) => PROBES.test(url) }),
      new ExpressInstrumentation(),
      new PgInstrumentation({ requireParentSpan: true }),
      // The name of a command, never its arguments: they are rows.
      new IORedisInstrumentation({ requireParentSpan: true, dbStatementSerializer: (command) => command }),
    ],
  });
}

/** Sends what has not been sent yet. */
export async function stopTracing(): Promise<void> {
  await provider?.shutdown();
}
