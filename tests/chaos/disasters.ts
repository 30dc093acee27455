import { setTimeout } from 'node:timers/promises';
import { type DisasterKind, drawn, groups, type Planned } from './schedule.ts';
import { signal, type World } from './world.ts';

/** What a disaster has at hand. */
export interface Scene {
  readonly world: World;
  readonly draws: Planned<DisasterKind>['draws'];
  readonly say: (text: string) => void;
  readonly fault: (text: string) => void;
  /** Runs in the background; everything is over only when it is. */
  readonly later: (work: () => Promise<unknown>) => void;
  /** From now on a run may say that the store is full. */
  readonly onStoreFull: () => void;
}

const LONGEST_FROZEN_MS = 8000;
const LONGEST_DOWN_MS = 1500;
const LONGEST_SLOW_MS = 2500;
const LONGEST_FULL_MS = 1500;
const LONGEST_JUMP_MS = 11 * 3600 * 1000;

/** False where there was nothing to strike. */
type Disaster = (scene: Scene) => Promise<boolean>;

export const disasters: Readonly<Record<DisasterKind, Disaster>> = {
  killTrainer: (scene) => strike(scene, 'trainer', 'SIGKILL').then(isPid),
  killAttacker: (scene) => strike(scene, 'attacker', 'SIGKILL').then(isPid),
  killExplainer: (scene) => strike(scene, 'explainer', 'SIGKILL').then(isPid),
  stopWorker: (scene) => strike(scene, '', 'SIGTERM').then(isPid),
  async freezeWorker(scene) {
    const pid = await strike(scene, '', 'SIGSTOP');
    if (pid === undefined) return false;
    scene.later(async () => {
      await setTimeout(Math.min(LONGEST_FROZEN_MS, scene.world.leaseSeconds * 1000 * (0.3 + 1.2 * scene.draws[1])));
      signal(pid, 'SIGCONT'); // unless its lease ran out, and it was killed
    });
    return true;
  },
  async killGateway({ world, say, draws }) {
    say('SIGKILL to the gateway');
    await world.gateway.stop('SIGKILL');
    await setTimeout(draws[0] * LONGEST_DOWN_MS);
    await world.gateway.start();
    return true;
  },
  async stopGateway({ world, say, fault }) {
    say('SIGTERM to the gateway');
    const code = await world.gateway.stop('SIGTERM');
    if (code !== 0) fault(`the gateway stopped with ${code}: ${world.gateway.output.slice(-1000)}`);
    const left = await world.workers();
    if (left.length > 0) fault(`a gateway that stopped left the workers ${left.join(', ')}`);
    await world.gateway.start();
    return true;
  },
  cutStreams: (scene) => cut(scene, groupOf(scene)),
  truncateStreams: (scene) => truncate(scene, groupOf(scene)),
  slowStreams: (scene) => slow(scene, groupOf(scene)),
  cutDatabase: (scene) => cut(scene, 'database'),
  truncateDatabase: (scene) => truncate(scene, 'database'),
  slowDatabase: (scene) => slow(scene, 'database'),
  async killDatabase({ world, say, draws }) {
    if (!world.postgres) return false;
    say('the database server goes down');
    await world.postgres.kill();
    await setTimeout(draws[0] * LONGEST_DOWN_MS);
    await world.postgres.start();
    return true;
  },
  async fillDisk({ world, draws, say, later, onStoreFull }) {
    onStoreFull();
    await world.fillDisk();
    say('the artefact store is full');
    later(async () => {
      await setTimeout(draws[0] * LONGEST_FULL_MS);
      await world.emptyDisk();
      say('the artefact store has room again');
    });
    return true;
  },
  async jumpClock({ world, draws, say }) {
    // Short jumps as often as long ones, back as often as on.
    const ms = (draws[0] < 0.5 ? -1 : 1) * LONGEST_JUMP_MS ** draws[1];
    world.setClock(ms);
    say(`the clock is wrong by ${Math.round(ms / 1000)} s`);
    return true;
  },
};

async function strike({ world, draws, say }: Scene, kind: string, name: NodeJS.Signals): Promise<number | undefined> {
  const pid = drawn(await world.workers(kind), draws[0]);
  if (pid === undefined || !signal(pid, name)) return undefined;
  say(`${name} to the worker ${pid}${kind ? ` (${kind})` : ''}`);
  return pid;
}

const isPid = (pid: number | undefined) => pid !== undefined;
const groupOf = ({ draws }: Scene) => drawn(groups, draws[0]) ?? 'workers';

async function cut({ world, say }: Scene, group: string): Promise<boolean> {
  const proxy = world.proxyOf(group);
  if (proxy.count(group) === 0) return false;
  say(`${proxy.count(group)} connections are cut: ${group}`);
  proxy.cut(group);
  return true;
}

async function truncate({ world, say }: Scene, group: string): Promise<boolean> {
  const proxy = world.proxyOf(group);
  if (proxy.count(group) === 0) return false;
  say(`${proxy.count(group)} connections will break off within a message: ${group}`);
  proxy.truncate(group);
  return true;
}

async function slow({ world, draws, say, later }: Scene, group: string): Promise<boolean> {
  const proxy = world.proxyOf(group);
  const change =
    draws[1] < 0.5
      ? { delayMs: Math.round(500 * draws[2]) }
      : { bytesPerSecond: Math.round(20_000 + 200_000 * draws[2]) };
  say(`connections are slow: ${group}, ${JSON.stringify(change)}`);
  proxy.weather(group, change);
  later(async () => {
    await setTimeout(LONGEST_SLOW_MS * draws[1]);
    proxy.weather(group);
  });
  return true;
}
