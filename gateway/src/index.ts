export { type FoundGateway, findGateway } from './find-gateway.ts';
export type { GatewayOptions } from './options.ts';
export { type Gateway, startGateway } from './start-gateway.ts';
