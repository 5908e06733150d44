import { register } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { context, DiagLogLevel, diag, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { ExpressInstrumentation } from '@opentelemetry/instrumentation-express';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { IORedisInstrumentation } from '@opentelemetry/instrumentation-ioredis';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { createLogger } from '../logger.ts';
import { VERSION } from '../version.ts';

const PROBES = /^\/(metrics|health\/)/;
const WARN_INTERVAL_MS = 60_000;
const FLUSH_MS = 2_000;
let provider: TracerProvider | undefined;

/**
 * Sends a trace of every request to the collector at OTEL_EXPORTER_OTLP_ENDPOINT (which the exporter reads): its way
 * through Express, the statements to PostgreSQL, the commands to Redis. A `traceparent` header, which Nginx passes on, makes
 * it part of the caller's trace.
 */
export function startTracing(instance: string): void {
  warnOfErrors(instance);
  // ES modules cannot be changed once they are loaded; these hooks wrap them while they load.
  register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
  provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'tandem',
      'service.version': VERSION,
      'service.instance.id': instance,
    }),
    spanProcessors: [forgetClient, new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
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

/**
 * What a client sent or is known by. A path holds ids (that of a cart is its key), a query names and addresses; the route's
 * template, which stays, says enough.
 */
const PERSONAL = ['url.path', 'url.query', 'url.full', 'user_agent.original', 'client.address', 'network.peer.address'];
const forgetClient: SpanProcessor = {
  onStart() {},
  onEnd(span: ReadableSpan) {
    for (const name of PERSONAL) delete span.attributes[name];
  },
  async forceFlush() {},
  async shutdown() {},
};

/** A collector that is away must not go unnoticed, nor fill the log: every batch (5 s) would say the same. */
function warnOfErrors(instance: string): void {
  const logger = createLogger(instance);
  let silentUntil = 0;
  const error = (message: string) => {
    if (performance.now() < silentUntil) return;
    silentUntil = performance.now() + WARN_INTERVAL_MS;
    const reason = /"message":"([^"]+)"/.exec(message)?.[1] ?? message.slice(0, 300); // it comes as the JSON of an Error
    logger.warn({ reason }, 'traces were not delivered');
  };
  const ignore = () => {};
  diag.setLogger({ error, warn: ignore, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.ERROR);
}

/** Sends what has not been sent yet, unless the collector takes too long: the process must end in time. */
export async function stopTracing(): Promise<void> {
  // Its error has been logged; a rejection here would end the process as if it had crashed.
  await Promise.race([provider?.shutdown().catch((error) => diag.error(String(error))), sleep(FLUSH_MS)]);
}
