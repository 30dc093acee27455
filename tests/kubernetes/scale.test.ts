import { RunState } from '@jsigr/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../../gateway/src/store/store.ts';
import { memoryStore } from '../../gateway/src/store/testing.ts';
import { type TestGateway, testGateway } from '../../gateway/src/testing/gateway.ts';
import { Cluster } from './support/cluster.ts';
import { ControlPlane, skipped } from './support/control-plane.ts';
import { install } from './support/installation.ts';
import { evaluateMany, trainMany } from './support/many.ts';

const EVALUATIONS = 500;
const MOST_REQUESTS = 20;
const NODES = 200;
const RUNS = 75;
const AT_ONCE = 50;
const ALL_MS = 600_000;

describe.skipIf(skipped('api'))('many resources at once, at a real API server', () => {
  let plane: ControlPlane;
  let store: Store;
  let gateway: TestGateway;

  beforeAll(async () => {
    [plane, store] = await Promise.all([ControlPlane.start('api'), memoryStore()]);
    await install(plane);
    gateway = await testGateway(store, { evaluationsAtOnce: 16 });
  }, 120_000);
  afterAll(async () => {
    await gateway?.close();
    await plane?.stop();
    await store?.close();
  });

  test(
    `${EVALUATIONS} evaluations reach their end, with fewer than ${MOST_REQUESTS} requests for each`,
    async () => {
      const { requests, reconciled } = await evaluateMany(plane, gateway, EVALUATIONS, ALL_MS / 1000);
      expect(requests / EVALUATIONS).toBeLessThan(MOST_REQUESTS);
      // Looked at each time that something changed, and not for ever.
      expect(reconciled.length / EVALUATIONS).toBeLessThan(MOST_REQUESTS);
      expect(gateway.pool.attackers.length).toBe(EVALUATIONS);
    },
    ALL_MS,
  );
});

describe.skipIf(skipped('full'))(`${NODES} nodes with a GPU each, on a real control plane`, () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start({ JSIGR_TRAININGS_AT_ONCE: String(AT_ONCE) });
  }, 240_000);
  afterAll(() => cluster?.stop(), 60_000);

  test(
    `${RUNS} training runs, ${AT_ONCE} at once: each has its turn in order, and none is lost`,
    async () => {
      const { states, turns, most, died } = await trainMany(cluster, { runs: RUNS, nodes: NODES, together: AT_ONCE });
      expect(states).toEqual(states.map(() => RunState.RUN_STATE_SUCCEEDED));
      expect(states.length).toBe(RUNS);
      expect(turns).toEqual(turns.map((_, i) => i));
      expect(most).toBe(AT_ONCE);
      expect(died).toBeGreaterThan(3);
    },
    ALL_MS,
  );
});
