export type { Context, GlobalOptions } from './context.ts';
export type { GatewayAddresses, GatewayStart, Gateways, RunningGateway } from './gateways.ts';
export { runCommandLine } from './program.ts';
export type { CheckpointFigures, Mean, ReportData, ReportedModel, Tile, TileGrid } from './report/data.ts';
export type { Picture } from './report/pictures.ts';
export { renderReport } from './report/render.ts';
export type { Terminal } from './terminal/terminal.ts';
export { version } from './version.ts';
