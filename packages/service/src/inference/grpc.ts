import { isIP } from 'node:net';
import { credentials, type ServiceError, status } from '@grpc/grpc-js';
import { GRPCInferenceServiceClient, ModelInferRequest, type ModelInferResponse } from '@jsigr/proto';
import { MAX_MESSAGE_BYTES } from '../grpc-client.ts';
import type { AddressGuard, EndpointAddress } from './address.ts';
import { clipped, type InferResponse, Passing, type Transport, wrongAnswer } from './transport.ts';

/** Codes that servers give when they are busy or restarting. */
const PASSING: readonly status[] = [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.ABORTED, status.INTERNAL];

/** The protocol over gRPC. The client connects to the address that was checked, not to a name that may mean another one later. */
export function grpcTransport(address: EndpointAddress, guard: AddressGuard): Transport {
  const { host, port, isSecure, model, version } = address;
  let opened: Promise<GRPCInferenceServiceClient> | undefined;
  const open = async () => {
    const connected = await guard.resolve(host);
    const target = isIP(connected) === 6 ? `ipv6:[${connected}]:${port}` : `ipv4:${connected}:${port}`;
    return new GRPCInferenceServiceClient(target, isSecure ? credentials.createSsl() : credentials.createInsecure(), {
      'grpc.default_authority': `${isIP(host) === 6 ? `[${host}]` : host}:${port}`,
      'grpc.ssl_target_name_override': host,
      'grpc.enable_http_proxy': 0,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_reconnect_backoff_ms': 1000,
    });
  };
  const client = () => {
    opened ??= open().catch((error) => {
      opened = undefined; // a name without an address may have one later
      throw error;
    });
    return opened;
  };
  return {
    metadata: async (signal) => {
      const speaking = await client();
      return answered(signal, (done) => speaking.modelMetadata({ name: model, version }, done));
    },
    infer: async ({ input, output, shape, data }, signal) => {
      const request = ModelInferRequest.fromPartial({
        modelName: model,
        modelVersion: version,
        inputs: [{ name: input, datatype: 'FP32', shape: [...shape] }],
        outputs: [{ name: output }],
        rawInputContents: [Buffer.from(data.buffer, data.byteOffset, data.byteLength)],
      });
      const speaking = await client();
      return outputOf(await answered<ModelInferResponse>(signal, (done) => speaking.modelInfer(request, done)), output);
    },
    close: () =>
      void opened?.then(
        (speaking) => speaking.close(),
        () => undefined,
      ),
  };
}

async function answered<T>(
  signal: AbortSignal,
  call: (done: (error: ServiceError | null, response: T) => void) => { cancel(): void },
): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const cancel = () => calling.cancel();
    const calling = call((error, response) => {
      signal.removeEventListener('abort', cancel);
      if (!error) return resolve(response);
      if (signal.aborted) return reject(signal.reason);
      const said = `it answered with ${status[error.code]}: ${clipped(error.details)}`;
      reject(PASSING.includes(error.code) ? new Passing(said) : wrongAnswer(said));
    });
    signal.addEventListener('abort', cancel, { once: true });
  });
}

const BYTES: Readonly<Record<string, number>> = { FP32: 4, FP64: 8 };

function outputOf({ outputs, rawOutputContents }: ModelInferResponse, name: string): InferResponse {
  const at = outputs.findIndex((output) => output.name === name);
  const found = outputs[at];
  if (!found)
    throw wrongAnswer(`it gave no '${name}', but ${outputs.map((output) => output.name).join(', ') || 'nothing'}`);
  const { datatype, shape, contents } = found;
  const raw = rawOutputContents[at];
  if (!raw) {
    const data = datatype === 'FP64' ? contents?.fp64Contents : contents?.fp32Contents;
    return { datatype, shape, data: data ?? [] };
  }
  const width = BYTES[datatype];
  if (width === undefined || raw.length % width !== 0)
    throw wrongAnswer(`its '${name}' has ${raw.length} bytes of ${datatype}`);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const data = Array.from({ length: raw.length / width }, (_, i) =>
    width === 4 ? view.getFloat32(4 * i, true) : view.getFloat64(8 * i, true),
  );
  return { datatype, shape, data };
}
