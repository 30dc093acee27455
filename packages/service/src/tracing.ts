/**
 * OpenTelemetry traces. Where nobody says where to send them nothing of this costs anything: the API's own functions do nothing, and the SDK is not
 * even loaded.
 */
import {
  type Attributes,
  context,
  DiagLogLevel,
  diag,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { JsigrError } from './errors.ts';
import type { Logger } from './logging.ts';

export type { Attributes } from '@opentelemetry/api';

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of OpenTelemetry that say where spans go; a gateway's workers get them too. */
const PREFIX = 'OTEL_';
/** A collector that does not answer keeps nothing waiting for longer, in milliseconds. */
const EXPORT_MS = 5000;
const FLUSH_MS = 1500;
/** Spans that wait for a slow collector at most; what comes then is dropped. */
const MOST_WAITING = 4096;

let stop: (() => Promise<void>) | undefined;

/** Are spans made in this process? */
export function isTracing(): boolean {
  return stop !== undefined;
}

/**
 * Has the spans of this process sent to OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); without one, or with OTEL_SDK_DISABLED,
 * nothing happens. A second call changes nothing.
 * @param service name of the resource, e.g. `jsigr-trainer`
 * @returns sends what is left, for at most a second and a half; never rejects
 * @throws JsigrError INVALID_ARGUMENT naming the variable
 */
export async function startTracing(service: string, logger: Logger, environment: Environment = process.env) {
  const isOn = environment.OTEL_EXPORTER_OTLP_ENDPOINT || environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  if (isOn && environment.OTEL_SDK_DISABLED !== 'true' && !stop) stop = await openTracing(service, logger, environment);
  return () => flushed(stop);
}

/** OpenTelemetry's variables, for a process that is started elsewhere. */
export function tracingVariables(environment: Environment = process.env): Record<string, string> {
  const found = Object.entries(environment).filter(([name, value]) => name.startsWith(PREFIX) && value);
  return Object.fromEntries(found) as Record<string, string>;
}

async function openTracing(service: string, logger: Logger, environment: Environment): Promise<() => Promise<void>> {
  const { exporterOf, samplerOf, sdk } = await import('./tracing-sdk.ts');
  let told = false;
  const tell = (message: string, ...rest: unknown[]) => {
    // Every batch that is lost would say so.
    logger[told ? 'debug' : 'warn']({ details: rest.map(String) }, `traces: ${message}`);
    told = true;
  };
  const quiet = (message: string) => logger.debug(`traces: ${message}`);
  diag.setLogger({ error: tell, warn: tell, info: quiet, debug: quiet, verbose: quiet }, DiagLogLevel.WARN);
  const provider = sdk({
    service,
    exporter: exporterOf(environment),
    sampler: samplerOf(environment),
    maxQueueSize: MOST_WAITING,
    exportTimeoutMillis: EXPORT_MS,
    scheduledDelayMillis: Number(environment.OTEL_BSP_SCHEDULE_DELAY || 1000),
  });
  return () => provider.forceFlush();
}

async function flushed(flush: (() => Promise<void>) | undefined): Promise<void> {
  if (!flush) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FLUSH_MS);
  });
  await Promise.race([flush().catch(() => undefined), late]);
  clearTimeout(timer);
}

const tracer = () => trace.getTracer('jsigr');

export interface SpanOptions {
  /** INTERNAL unless told. */
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
}

/** Does the work within a span, whose children are the spans that the work makes; an error is noted and passed on. */
export async function inSpan<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  if (!isTracing()) return work(nothing);
  return tracer().startActiveSpan(name, options, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      const { reason, message } = JsigrError.from(error);
      // Stopping is no failure.
      if (!(error instanceof DOMException && error.name === 'AbortError'))
        span.setAttribute('error.type', reason).setStatus({ code: SpanStatusCode.ERROR, message });
      throw error;
    } finally {
      span.end();
    }
  });
}

const nothing = trace.wrapSpanContext({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 });

/** Does the work within the span of an HTTP request, which ends with its status. */
export function inRequestSpan(
  method: string,
  headers: Readonly<Record<string, unknown>>,
  work: (end: (status: number) => void) => void,
): void {
  const parent = propagation.extract(ROOT_CONTEXT, headers);
  const attributes = { 'http.request.method': method };
  const span = tracer().startSpan(`HTTP ${method}`, { kind: SpanKind.SERVER, attributes }, parent);
  context.with(trace.setSpan(parent, span), () =>
    work((status) => {
      span.setAttribute('http.response.status_code', status);
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    }),
  );
}

/** Says what the request that is going on turned out to be. */
export function nameRequestSpan(method: string): void {
  trace.getActiveSpan()?.updateName(`HTTP ${method}`);
}

/** The work as part of the span that is going on now, whoever calls it: a thread's messages come out of nowhere. */
export function keepingSpan<A extends unknown[], R>(work: (...args: A) => R): (...args: A) => R {
  return context.bind(context.active(), work);
}

/** The span that is going on, as a `traceparent` header has it; undefined where there is none. */
export function traceParent(): string | undefined {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent;
}

/** Does the work as a child of a span that another process, or an earlier one, began. */
export function underTraceParent<T>(traceparent: string | undefined, work: () => T): T {
  if (!traceparent || !isTracing()) return work();
  return context.with(propagation.extract(ROOT_CONTEXT, { traceparent }), work);
}
