import { CreateEvaluationRequest, CreateTrainingRunRequest } from '@jsigr/proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../store/store.ts';
import { memoryStore, OPENING_MS } from '../store/testing.ts';
import { type TestGateway, TINY, testGateway } from '../testing/gateway.ts';
import type { Caller } from './caller.ts';

let store: Store;
let gateway: TestGateway;
let model: string;
const caller = (tenant: string, role: Caller['role'] = 'runner'): Caller => ({ subject: tenant, role, tenant });
const [vision, faces] = [caller('vision'), caller('faces')];
beforeAll(async () => {
  store = await memoryStore();
  gateway = await testGateway(store);
  model = await gateway.checkpoint(1);
}, OPENING_MS);
afterAll(async () => {
  await gateway.close();
  await store.close();
});

const spec = { dataset: TINY, architecture: 'lenet', objective: 'standard', epochs: 1 };

describe('tenants', () => {
  test('may use the same request id, and get runs of their own', async () => {
    const request = CreateTrainingRunRequest.fromPartial({ spec, requestId: 'first' });
    const [ours, theirs] = [await create(request, vision), await create(request, faces)];
    expect(ours.name).not.toBe(theirs.name);
    expect((await create(request, vision)).name).toBe(ours.name);
    expect([ours.tenant, theirs.tenant]).toEqual(['vision', 'faces']);
    const other = CreateTrainingRunRequest.fromPartial({ spec: { ...spec, seed: 1 }, requestId: 'first' });
    await expect(create(other, caller('third'))).resolves.toMatchObject({ tenant: 'third' });
  });

  test('may have the same model, and do not hear of those of others, by prefix neither', async () => {
    const { models } = gateway.application;
    const digest = model.replace('models/', '');
    await models.record(digest, 'vision');
    const prefix = { name: model.slice(0, 'models/'.length + 8) };
    await expect(models.get(prefix, faces)).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    await models.record(digest, 'faces');
    expect((await models.get(prefix, faces)).tenant).toBe('faces');
    expect((await models.get(prefix, vision)).tenant).toBe('vision');
    // An admin sees it once.
    expect((await models.get(prefix, caller('ops', 'admin'))).name).toBe(model);
  });

  test("may not use others' models in what they create", async () => {
    const theirs = await gateway.checkpoint(2);
    await gateway.application.models.record(theirs.replace('models/', ''), 'vision');
    const attacks = [{ attack: 'transfer', norm: 'linf', epsilons: [0.1] }];
    const evaluation = (fields: object) =>
      gateway.application.evaluations.create(
        CreateEvaluationRequest.fromPartial({ spec: { model, ...fields } }),
        faces,
      );
    await expect(evaluation({ model: theirs })).rejects.toThrow(/spec.model: there is no model/);
    await expect(evaluation({ plan: { attacks, surrogates: [theirs] } })).rejects.toThrow(
      /surrogates\[0\]: there is no/,
    );
    const run = CreateTrainingRunRequest.fromPartial({ spec: { ...spec, initialModel: theirs } });
    await expect(create(run, faces)).rejects.toThrow(/spec.initialModel: there is no model/);
  });

  test('see what is shared, and do not change it', async () => {
    const { id } = await store.runs.create({ tenant: 'shared', kind: 'training', spec: {} });
    const request = { name: `trainingRuns/${id}`, etag: '' };
    expect((await gateway.application.trainingRuns.get(request, faces)).tenant).toBe('shared');
    await expect(gateway.application.trainingRuns.cancel(request, faces)).rejects.toMatchObject({
      reason: 'NOT_YOURS',
    });
    await gateway.application.trainingRuns.cancel(request, caller('ops', 'admin'));
  });
});

function create(request: CreateTrainingRunRequest, by: Caller) {
  return gateway.application.trainingRuns.create(request, by);
}
