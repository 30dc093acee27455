export { readConfig } from './config.ts';
export { type FoundGateway, findGateway } from './find-gateway.ts';
export type { Forwarded, ForwardOptions } from './kubernetes/forward.ts';
export type { GatewayOptions } from './options.ts';
export { type Gateway, startGateway } from './start-gateway.ts';
