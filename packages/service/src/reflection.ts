import {
  type Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { Descriptors } from '@jsigr/proto/descriptors';
import { toServiceError } from './grpc-errors.ts';
import { tolerant } from './malformed.ts';

/** `grpc.reflection.v1`, as the library's definition writes it; v1alpha is the same. */
interface Question {
  readonly host: string;
  readonly messageRequest?: keyof typeof answers;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly allExtensionNumbersOfType?: string;
}
type Answer = Readonly<Record<string, unknown>>;
type Call = ServerDuplexStream<Question, Answer>;

/** Described beside the services of a server: whoever asks by reflection calls it so as well. */
const HEALTH = 'grpc.health.v1.Health';

/** Answers reflection, in both versions. What it says is read when somebody first asks: that takes a good part of a server's start. */
export function addReflection(server: Server, services: readonly string[]): void {
  let reading: Promise<Descriptors> | undefined;
  const answered = async (call: Call) => {
    reading ??= import('@jsigr/proto/descriptors').then(({ readDescriptors }) => readDescriptors());
    const descriptors = await reading;
    const served = [...services, HEALTH].filter((name) => descriptors.services.has(name));
    call.on('data', (question: Question) => {
      // A caller that asks and does not read would have answers pile up, each of them thousands of times its question.
      if (
        call.write({ validHost: question.host, originalRequest: question, ...answerTo(question, descriptors, served) })
      )
        return;
      call.pause();
      call.once('drain', () => call.resume());
    });
    call.on('end', () => call.end());
  };
  // What cannot be read ends the call that asked, and not the server.
  const answer = (call: Call) => void answered(call).catch((error) => call.emit('error', toServiceError(error)));
  for (const definition of definitions())
    server.addService(
      tolerant(definition),
      Object.fromEntries(Object.keys(definition).map((name) => [name, answer])) as UntypedServiceImplementation,
    );
}

const answers = {
  listServices: (_: Question, __: Descriptors, served: readonly string[]): Answer => ({
    listServicesResponse: { service: served.map((name) => ({ name })) },
  }),
  fileByFilename: ({ fileByFilename: path = '' }: Question, { file }: Descriptors) => filesOrNone(file(path), path),
  fileContainingSymbol: ({ fileContainingSymbol: name = '' }: Question, { fileOfSymbol }: Descriptors) =>
    filesOrNone(fileOfSymbol(name), name),
  // The contract extends nothing.
  fileContainingExtension: () => filesOrNone(undefined, 'the extension'),
  allExtensionNumbersOfType: ({ allExtensionNumbersOfType: name = '' }: Question, { messages }: Descriptors) =>
    messages.has(name)
      ? { allExtensionNumbersResponse: { baseTypeName: name, extensionNumber: [] } }
      : filesOrNone(undefined, name),
};

function answerTo(question: Question, descriptors: Descriptors, served: readonly string[]): Answer {
  const { messageRequest } = question;
  if (messageRequest) return answers[messageRequest](question, descriptors, served);
  return { errorResponse: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'the request asks for nothing' } };
}

function filesOrNone(files: Uint8Array[] | undefined, name: string): Answer {
  return files
    ? { fileDescriptorResponse: { fileDescriptorProto: files } }
    : { errorResponse: { errorCode: status.NOT_FOUND, errorMessage: `${name.slice(0, 200)} is not described here` } };
}

/** The library's definitions of the service; what it would answer lacks imports, and so cannot be used by most clients. */
function definitions(): ServiceDefinition[] {
  const found: ServiceDefinition[] = [];
  const addService = (definition: ServiceDefinition) => void found.push(definition);
  new ReflectionService({}).addToServer({ addService } as unknown as Server);
  return found;
}
