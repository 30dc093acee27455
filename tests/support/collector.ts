import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import {
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

export interface CollectedSpan {
  readonly service: string;
  readonly trace: string;
  readonly id: string;
  readonly parent: string;
  readonly name: string;
  /** 1 INTERNAL, 2 SERVER, 3 CLIENT */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
}

/** A collector of OpenTelemetry's protocol, on HTTP and gRPC, that keeps what it gets. */
export interface Collector {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  readonly spans: readonly CollectedSpan[];
  close(): Promise<void>;
}

const PROTO = fileURLToPath(new URL('proto/otlp_trace.proto', import.meta.url));
const NAME = 'opentelemetry.proto.collector.trace.v1';

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
interface Request {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly Readonly<Record<string, unknown>>[] }[];
  }[];
}

export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const type = protobuf.loadSync(PROTO).lookupType(`${NAME}.ExportTraceServiceRequest`);
  const take = (bytes: Uint8Array) => {
    const request = type.toObject(type.decode(bytes), { bytes: Buffer, arrays: true }) as unknown as Request;
    for (const { resource, scopeSpans } of request.resourceSpans) {
      const service = String(attributesOf(resource.attributes)['service.name']);
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) spans.push(collected(service, span));
    }
  };
  const http = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (request.method !== 'POST' || request.url !== '/v1/traces') return response.writeHead(404).end();
    take(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
    return response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }).listen(0, '127.0.0.1');
  await once(http, 'listening');

  const grpc = new Server();
  const { TraceService } = NAME.split('.').reduce<GrpcObject>(
    (namespace, part) => namespace[part] as GrpcObject,
    loadPackageDefinition(loadSync(PROTO)),
  ) as unknown as { readonly TraceService: ServiceClientConstructor };
  const definition = Object.fromEntries(
    Object.entries(TraceService.service).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: (bytes: Buffer) => bytes },
    ]),
  );
  grpc.addService(definition as unknown as typeof TraceService.service, {
    Export: ({ request }: { request: Buffer }, done: (error: null, answer: object) => void) => {
      take(request);
      done(null, {});
    },
  });
  const grpcPort = await new Promise<number>((resolve, reject) =>
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  );
  return {
    httpUrl: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    spans,
    async close() {
      grpc.forceShutdown();
      http.closeAllConnections();
      http.close();
    },
  };
}

function collected(service: string, span: Readonly<Record<string, unknown>>): CollectedSpan {
  const hex = (bytes: unknown) => (bytes instanceof Uint8Array ? Buffer.from(bytes).toString('hex') : '');
  const { traceId, spanId, parentSpanId, name, kind, attributes = [], status } = span;
  return {
    service,
    trace: hex(traceId),
    id: hex(spanId),
    parent: hex(parentSpanId),
    name: String(name),
    kind: Number(kind),
    attributes: attributesOf(attributes as KeyValue[]),
    failed: (status as { code?: number } | undefined)?.code === 2,
  };
}

function attributesOf(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
