/** OpenTelemetry's SDK, loaded only where spans are sent. */
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as HttpExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { invalidArgument } from './errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const protocols: Readonly<Record<string, () => SpanExporter>> = {
  grpc: () => new GrpcExporter(),
  'http/protobuf': () => new HttpExporter(),
};

/** By OTEL_EXPORTER_OTLP_PROTOCOL: `http/protobuf` (unless told) or `grpc`. Endpoint, headers and certificates the exporters read themselves. */
export function exporterOf(environment: Environment): SpanExporter {
  const name = environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
    ? 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'
    : 'OTEL_EXPORTER_OTLP_PROTOCOL';
  const protocol = environment[name] || 'http/protobuf';
  const exporter = protocols[protocol];
  if (!exporter) throw invalidArgument(name, `${protocol} given; ${Object.keys(protocols).join(', ')} allowed`);
  return exporter();
}

const roots: Readonly<Record<string, (share: number) => Sampler>> = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (share) => new TraceIdRatioBasedSampler(share),
};

/** By OTEL_TRACES_SAMPLER (`parentbased_always_on` unless told) and OTEL_TRACES_SAMPLER_ARG. */
export function samplerOf(environment: Environment): Sampler {
  const given = environment.OTEL_TRACES_SAMPLER || 'parentbased_always_on';
  const share = Number(environment.OTEL_TRACES_SAMPLER_ARG || 1);
  if (!(share >= 0 && share <= 1)) throw invalidArgument('OTEL_TRACES_SAMPLER_ARG', `${share} given, 0 to 1 allowed`);
  const root = roots[given.replace('parentbased_', '')];
  if (!root)
    throw invalidArgument(
      'OTEL_TRACES_SAMPLER',
      `${given} given; ${Object.keys(roots).join(', ')} allowed, each with parentbased_ before it or without`,
    );
  return given.startsWith('parentbased_') ? new ParentBasedSampler({ root: root(share) }) : root(share);
}

export interface SdkOptions {
  readonly service: string;
  readonly exporter: SpanExporter;
  readonly sampler: Sampler;
  readonly maxQueueSize: number;
  readonly exportTimeoutMillis: number;
  readonly scheduledDelayMillis: number;
}

/** Makes the API's functions do something, in the whole process. */
export function sdk({ service, exporter, sampler, ...batches }: SdkOptions): TracerProvider {
  const resource = defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(
      resourceFromAttributes({ 'service.name': service, 'service.namespace': 'jsigr', 'process.pid': process.pid }),
    );
  const provider = new TracerProvider({
    resource,
    sampler,
    spanProcessors: [new BatchSpanProcessor({ exporter, ...batches })],
    spanLimits: { attributeValueLengthLimit: 500 },
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  return provider;
}
