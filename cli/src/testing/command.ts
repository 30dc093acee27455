import type { Gateways } from '../gateways.ts';
import { runCommandLine } from '../program.ts';
import { type FakeGateway, noGateways } from './fake-gateway.ts';
import { type FakeTerminal, fakeTerminal } from './fake-terminal.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line; with a gateway, against it by --server. */
export async function jsigr(
  line: readonly string[],
  {
    gateway,
    gateways = noGateways,
    terminal = fakeTerminal(),
  }: { gateway?: FakeGateway; gateways?: Gateways; terminal?: FakeTerminal } = {},
): Promise<Outcome> {
  const server = gateway ? ['--server', gateway.address] : [];
  const code = await runCommandLine([...line, ...server], { terminal, gateways });
  return { code, ...terminal.written };
}
