// What asks models behind the Open Inference Protocol: for services and their compute threads, without NestJS.
export { AddressGuard, type EndpointAddress, parseEndpoint } from './address.ts';
export { type InferenceClient, type InferenceOptions, openInference } from './inference-client.ts';
export type { ModelMetadata, TensorMetadata } from './transport.ts';
