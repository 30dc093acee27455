import {
  InterceptingCall,
  type Interceptor,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  trace,
} from '@opentelemetry/api';

const tracer = () => trace.getTracer('jsigr');

/** What goes on for ever, or is asked again and again, would hide what people did. */
const UNTRACED = /^\/(jsigr\.v1\.WorkerRegistryService|grpc\.|externalscaler\.)/;
const MOST_CHARACTERS = 200;

const getter: TextMapGetter<Metadata> = {
  get: (metadata, key) => metadata.get(key).map(String),
  keys: (metadata) => Object.keys(metadata.getMap()),
};
const setter: TextMapSetter<Metadata> = { set: (metadata, key, value) => metadata.set(key, value) };

function attributesOf(path: string): Attributes {
  const [, service = '', method = ''] = path.split('/');
  return { 'rpc.system.name': 'grpc', 'rpc.service': service, 'rpc.method': method };
}

function end(span: Span, code: status, details: string): void {
  span.setAttribute('rpc.response.status_code', status[code] ?? String(code));
  if (code !== status.OK && code !== status.CANCELLED) span.setStatus({ code: SpanStatusCode.ERROR, message: details });
  span.end();
}

/** A span for every call of a client, whose server continues the trace: it is told by `traceparent` in the metadata. */
export const tracedCalls: Interceptor = (options, next) => {
  const { path } = options.method_definition;
  if (UNTRACED.test(path)) return new InterceptingCall(next(options));
  const span = tracer().startSpan(path.slice(1), { kind: SpanKind.CLIENT, attributes: attributesOf(path) });
  const within = trace.setSpan(context.active(), span);
  return new InterceptingCall(next(options), {
    start(metadata, _, forward) {
      const own = metadata.clone();
      propagation.inject(within, own, setter);
      forward(own, {
        onReceiveStatus(received, pass) {
          end(span, received.code, received.details);
          pass(received);
        },
      });
    },
  });
};

/** A span for every call of a server, and for what its handler does: a child of the caller's, if that sends one. */
export const tracedServer: ServerInterceptor = ({ path }, call) => {
  if (UNTRACED.test(path)) return new ServerInterceptingCall(call);
  let span: Span | undefined;
  let within: Context = ROOT_CONTEXT;
  return new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata(metadata, forward) {
          const parent = propagation.extract(ROOT_CONTEXT, metadata, getter);
          span = tracer().startSpan(path.slice(1), { kind: SpanKind.SERVER, attributes: attributesOf(path) }, parent);
          within = trace.setSpan(parent, span);
          context.with(within, () => forward(metadata));
        },
        onReceiveMessage(message, forward) {
          span?.setAttributes(namesIn(message));
          context.with(within, () => forward(message));
        },
        onReceiveHalfClose: (forward) => context.with(within, forward),
        onCancel: () => span && end(span, status.CANCELLED, ''),
      }),
    sendStatus(sent, forward) {
      if (span) end(span, sent.code ?? status.UNKNOWN, sent.details ?? '');
      forward(sent);
    },
  });
};

/** Which run or resource a request is about. */
function namesIn(message: unknown): Attributes {
  const { run, name } = (message ?? {}) as { run?: unknown; name?: unknown };
  return Object.fromEntries(
    Object.entries({ 'jsigr.run': run, 'jsigr.resource': name })
      .filter(([, value]) => typeof value === 'string' && value !== '')
      .map(([key, value]) => [key, String(value).slice(0, MOST_CHARACTERS)]),
  );
}
