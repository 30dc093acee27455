import { AdversarialExample, CreateEvaluationRequest, RobustnessReport } from '@jsigr/proto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { LOCAL } from '../access/caller.ts';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import type { FakeAttacker } from '../testing/fake-workers.ts';
import { reasonOf, type TestGateway, testGateway, words } from '../testing/gateway.ts';

let store: Store;
let gateway: TestGateway;
beforeAll(async () => {
  store = await memoryStore();
}, OPENING_MS);
afterAll(() => store.close());
beforeEach(async () => {
  gateway = await testGateway(store);
});
afterEach(() => gateway.close());

async function create(shards: number): Promise<string> {
  const model = await gateway.checkpoint(5);
  await gateway.application.models.record(model.replace('models/', ''));
  const plan = { attacks: [{ attack: 'fgsm', epsilons: [0.1] }] };
  const { name } = await gateway.application.evaluations.create(
    CreateEvaluationRequest.fromPartial({ spec: { model, plan, shards } }),
    LOCAL,
  );
  return name.replace('evaluations/', '');
}

function attackers(count: number): Promise<FakeAttacker[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => gateway.pool.attacker(i)));
}
const shardOf = (attacker: FakeAttacker) => attacker.evaluating?.shard?.index ?? -1;
const report = (fields: Partial<RobustnessReport>) => ({
  $case: 'report' as const,
  value: { ...RobustnessReport.fromPartial({}), ...fields },
});

const example = AdversarialExample.fromPartial({ attack: 'fgsm' });

test('the shards of an evaluation have an attacker each; the first one makes the report of all ledgers', async () => {
  const id = await create(3);
  const three = (await attackers(3)).sort((a, b) => shardOf(a) - shardOf(b));
  expect(three.map(({ evaluating }) => evaluating?.shard)).toEqual([0, 1, 2].map((index) => ({ index, count: 3 })));
  // Four cores for three attackers.
  expect(three.map(({ threads }) => threads)).toEqual([1, 1, 1]);
  const [first] = three;
  if (!first) throw new Error('no attacker');
  three[1]?.say({ $case: 'progress', value: { attack: 'fgsm', epsilon: 0.1, fraction: 0.6 } });
  for (const [i, attacker] of three.entries()) {
    attacker.say(report({ ledger: `ledger-${i}`, seconds: 2, examples: i === 0 ? [example] : [] }));
    if (i > 0) attacker.end();
  }
  first.evaluating = undefined;
  first.end();
  await first.changed.until(() => first.evaluating !== undefined);
  expect(first.evaluating).toMatchObject({ shard: undefined, ledgerDigests: ['ledger-0', 'ledger-1', 'ledger-2'] });
  const events = await gateway.events(id);
  expect(words(events).at(-1)).toBe('SUCCEEDED');
  const fractions = events.flatMap(({ payload }) =>
    payload?.$case === 'evaluationProgress' ? [payload.value.fraction] : [],
  );
  expect(fractions[0]).toBeCloseTo(0.2);
  const { report: found } = await gateway.application.evaluations.get({ name: `evaluations/${id}` }, LOCAL);
  expect(found).toMatchObject({ seconds: 6, examples: [{ attack: 'fgsm' }] });
});

test('with fewer attackers than shards the first one is given back before it makes the report', async () => {
  const [acquire, release] = [gateway.pool.acquire.bind(gateway.pool), gateway.pool.release.bind(gateway.pool)];
  let free = 1;
  gateway.pool.acquire = async (...given) => {
    const { signal } = given[1];
    while (free === 0) await gateway.pool.changed.until(() => free > 0, signal ? { signal } : {});
    free--;
    return acquire(...given);
  };
  gateway.pool.release = async (...given) => {
    await release(...given);
    free++;
    gateway.pool.changed.notify();
  };
  gateway.pool.onAttacker = async (attacker) => {
    await attacker.changed.until(() => attacker.evaluating !== undefined);
    const { shard, ledgerDigests = [] } = attacker.evaluating ?? {};
    attacker.say(report({ ledger: shard ? `ledger-${shard.index}` : `all of ${ledgerDigests}` }));
    attacker.end();
  };
  const id = await create(3);
  expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
  const { report: found } = await gateway.application.evaluations.get({ name: `evaluations/${id}` }, LOCAL);
  expect(found?.ledger).toBe('all of ledger-0,ledger-1,ledger-2');
  expect(gateway.pool.attackers.length).toBe(4);
});

test('when one of them fails the others are stopped, and the reason is that of the first', async () => {
  const id = await create(2);
  const both = await attackers(2);
  both[1]?.refuse('the model is not finite');
  const events = await gateway.events(id);
  expect(reasonOf(events)).toBe('the model is not finite');
  await gateway.pool.changed.until(() => gateway.pool.list().length === 0);
  expect(both.every(({ released }) => released?.discard)).toBe(true);
});

test('a shard whose attacker is lost has another one, which goes on from its ledger; the others go on', async () => {
  const id = await create(2);
  const both = (await attackers(2)).sort((a, b) => shardOf(a) - shardOf(b));
  const digest = (await gateway.artefacts.put('states', { 'a.json': Buffer.from('ledger') })).digest;
  both[1]?.say({ $case: 'resumePoint', value: { kind: 'states', digest, step: 1 } });
  await vi.waitFor(async () => expect((await store.runs.parts(id)).size).toBe(1));
  await both[1]?.die('was killed by SIGKILL');
  const next = await gateway.pool.attacker(2);
  expect(next.evaluating).toMatchObject({ shard: { index: 1, count: 2 }, resume: { digest } });
  expect(gateway.pool.sharing).toEqual([0, 1, 1].map((index) => ({ index, count: 2 })));
  next.say(report({ ledger: 'ledger-1' }));
  next.end();
  const [first] = both;
  if (!first) throw new Error('no attacker');
  expect(first.released).toBeUndefined();
  first.say(report({ ledger: 'ledger-0' }));
  first.evaluating = undefined;
  first.end();
  await first.changed.until(() => first.evaluating !== undefined);
  const events = await gateway.events(id);
  expect(words(events).at(-1)).toBe('SUCCEEDED');
  const reasons = events.flatMap(({ payload }) => (payload?.$case === 'stateChanged' ? [payload.value.reason] : []));
  expect(reasons).toContainEqual(
    expect.stringMatching(/was killed by SIGKILL; shard 2 of 2 goes on from its ledger, the others go on$/),
  );
});

test('the first attacker is given back where a shard that was lost waits for another one', async () => {
  const id = await create(2);
  const [first, second] = (await attackers(2)).sort((a, b) => shardOf(a) - shardOf(b));
  gateway.pool.refused.set('attacker', 'never');
  await second?.die('was killed by SIGKILL');
  first?.say(report({ ledger: 'ledger-0' }));
  first?.end();
  await gateway.pool.changed.until(() => first?.released !== undefined);
  expect(first?.released).toEqual({ discard: false });
  gateway.pool.onAttacker = async (attacker) => {
    await attacker.changed.until(() => attacker.evaluating !== undefined);
    const { shard, ledgerDigests = [] } = attacker.evaluating ?? {};
    attacker.say(report({ ledger: shard ? `ledger-${shard.index}` : `all of ${ledgerDigests}` }));
    attacker.end();
  };
  gateway.pool.refused.delete('attacker');
  gateway.pool.changed.notify();
  expect(words(await gateway.events(id)).at(-1)).toBe('SUCCEEDED');
  const { report: found } = await gateway.application.evaluations.get({ name: `evaluations/${id}` }, LOCAL);
  expect(found?.ledger).toBe('all of ledger-0,ledger-1');
}, 30_000);

test('a shard that comes no further, whoever attacks it, is begun again a few times, and then the run ends', async () => {
  gateway.pool.onAttacker = (attacker) => {
    void attacker.changed
      .until(() => attacker.evaluating !== undefined)
      .then(async () => {
        if (attacker.evaluating?.shard?.index === 1) await attacker.die('was killed by SIGKILL');
      });
  };
  const id = await create(2);
  const events = await gateway.events(id);
  expect(words(events).at(-1)).toBe('FAILED');
  expect(reasonOf(events)).toMatch(/was killed by SIGKILL; it was begun again 2 times, in vain$/);
  // The first shard's, and three of the second one's.
  expect(gateway.pool.attackers.length).toBe(4);
}, 60_000);

test('what shards could have gone on from is removed when they are cancelled', async () => {
  const id = await create(2);
  const both = await attackers(2);
  const put = async (text: string) => (await gateway.artefacts.put('states', { 'a.json': Buffer.from(text) })).digest;
  const digests = [await put('one'), await put('two')];
  for (const [i, attacker] of both.entries())
    attacker.say({ $case: 'resumePoint', value: { kind: 'states', digest: digests[i] ?? '', step: 1 } });
  await vi.waitFor(async () => expect((await store.runs.parts(id)).size).toBe(2));
  await gateway.application.evaluations.cancel({ name: `evaluations/${id}`, etag: '' }, LOCAL);
  for (const digest of digests) expect(await gateway.artefacts.has('states', digest)).toBe(false);
});

test('after a suspension each shard goes on from what it came to, and one that was done has no attacker any more', async () => {
  const { conductor, pool } = gateway;
  const keep = async (text: string) => (await gateway.artefacts.put('states', { 'a.json': Buffer.from(text) })).digest;
  const id = await create(3);
  const three = (await attackers(3)).sort((a, b) => shardOf(a) - shardOf(b));
  const [early, late] = [await keep('early'), await keep('late')];
  for (const [step, digest] of [early, late].entries())
    three[2]?.say({ $case: 'resumePoint', value: { kind: 'states', digest, step } });
  three[0]?.say(report({ ledger: 'ledger-0', examples: [example] }));
  three[0]?.end();
  await vi.waitFor(async () => {
    expect(Object.fromEntries(await store.runs.parts(id))).toMatchObject({
      0: { report: { ledger: 'ledger-0' } },
      2: { resumePoint: { digest: late } },
    });
    // What nothing goes on from is not kept.
    expect(await gateway.artefacts.has('states', early)).toBe(false);
  });
  await conductor.suspend('evaluation', id);
  await vi.waitFor(async () => expect((await store.runs.get('evaluation', id)).reason).toMatch(/^suspended/));
  await conductor.unsuspend('evaluation', id);

  await pool.attacker(4);
  const again = pool.attackers.slice(3).sort((a, b) => shardOf(a) - shardOf(b));
  await vi.waitFor(() => expect(again.map(shardOf).sort()).toEqual([1, 2]));
  again.sort((a, b) => shardOf(a) - shardOf(b));
  expect(again.map(({ evaluating }) => evaluating?.resume?.digest)).toEqual([undefined, late]);
  expect(pool.sharing.slice(3)).toEqual([
    { index: 0, count: 2 },
    { index: 1, count: 2 },
  ]);
  const [second, third] = again;
  if (!second || !third) throw new Error('no attackers');
  third.say(report({ ledger: 'ledger-2' }));
  third.end();
  second.say(report({ ledger: 'ledger-1' }));
  second.evaluating = undefined;
  second.end();
  await second.changed.until(() => second.evaluating !== undefined);
  expect(second.evaluating).toMatchObject({ shard: undefined, ledgerDigests: ['ledger-0', 'ledger-1', 'ledger-2'] });
  const events = await gateway.events(id);
  expect(words(events).at(-1)).toBe('SUCCEEDED');
  const reasons = events.flatMap(({ payload }) => (payload?.$case === 'stateChanged' ? [payload.value.reason] : []));
  expect(reasons).toContain('goes on; 1 of 3 shards are done');
  const { report: found } = await gateway.application.evaluations.get({ name: `evaluations/${id}` }, LOCAL);
  expect(found?.examples).toMatchObject([{ attack: 'fgsm' }]);
  expect(await store.runs.parts(id)).toEqual(new Map());
  await vi.waitFor(async () => expect(await gateway.artefacts.has('states', late)).toBe(false));
});
