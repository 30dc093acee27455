import { CreateTrainingRunRequest, ExplainRequest, Feedback, ListTrainingRunsRequest } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { describe, expect, test } from 'vitest';
import { messageFromJson } from './message-json.ts';

describe('messages from JSON', () => {
  test('names may be lowerCamel or as in the .proto, numbers may be text, settings may be numbers', () => {
    const spec = { batch_size: '32', checkpointEveryEpochs: 2, objective_settings: { jacobianWeight: 0.5 } };
    const loop = { enabled: true, feedback: 'FEEDBACK_SELECT', plan: { attacks: [{ epsilons: ['0.1', 0.2] }] } };
    expect(messageFromJson(CreateTrainingRunRequest, { spec: { ...spec, loop }, display_name: 'x' })).toMatchObject({
      displayName: 'x',
      spec: {
        batchSize: 32,
        checkpointEveryEpochs: 2,
        objectiveSettings: { jacobianWeight: '0.5' },
        loop: { feedback: Feedback.FEEDBACK_SELECT, plan: { attacks: [{ epsilons: [0.1, 0.2] }] } },
      },
    });
  });

  test('defaults may be spelled out', () => {
    const request = { pageSize: 0, pageToken: '' };
    expect(messageFromJson(ListTrainingRunsRequest, request)).toEqual(request);
    expect(messageFromJson(CreateTrainingRunRequest, { spec: null, labels: {}, requestId: '' }).spec).toBeUndefined();
  });

  test('bytes are base64, one of several is one', () => {
    const image = { encoded: Buffer.from('png').toString('base64') };
    const source = messageFromJson(ExplainRequest, { image }).image?.source;
    expect(source).toEqual({ $case: 'encoded', value: Buffer.from('png') });
  });

  const bad: [string, unknown, string][] = [
    ['text', 'x', ''],
    ['a list', [], ''],
    ['nothing', null, ''],
    ['an unknown field', { spec: { epoch: 3 } }, 'spec.epoch'],
    ['text for a number', { spec: { epochs: 'three' } }, 'spec.epochs'],
    ['a fraction where a whole number is meant', { spec: { epochs: 1.5 } }, 'spec.epochs'],
    ['yes for a number', { spec: { epochs: true } }, 'spec.epochs'],
    ['a list for a number', { spec: { epochs: [3] } }, 'spec.epochs'],
    ['nothing in a list of numbers', { spec: { loop: { plan: { epsilons: [null] } } } }, 'spec.loop.plan.epsilons[0]'],
    ['nothing for a label', { labels: { team: null } }, 'labels.team'],
    ['an object for a number', { spec: { epochs: {} } }, 'spec.epochs'],
    ['an object for text', { spec: { dataset: { id: 3 } } }, 'spec.dataset'],
    ['text for an object', { spec: 'lenet' }, 'spec'],
    ['text for yes or no', { spec: { loop: { enabled: 'false' } } }, 'spec.loop.enabled'],
    ['an unknown value', { spec: { loop: { feedback: 'MAGIC' } } }, 'spec.loop.feedback'],
    ['a number for a list', { spec: { loop: { plan: { attacks: 3 } } } }, 'spec.loop.plan.attacks'],
    [
      'an unknown field in a list',
      { spec: { loop: { plan: { attacks: [{}, { eps: [1] }] } } } },
      'spec.loop.plan.attacks[1].eps',
    ],
  ];
  for (const [what, json, field] of bad)
    test(`${what} is refused, naming the field`, () => {
      try {
        messageFromJson(CreateTrainingRunRequest, json);
        expect.fail('it should have been refused');
      } catch (error) {
        expect(JsigrError.from(error).violations.map((violation) => violation.field)).toEqual([field]);
      }
    });

  test('two of several where one is meant are refused', () => {
    const image = { encoded: 'aaaa', sample: { index: 3 } };
    expect(() => messageFromJson(ExplainRequest, { image })).toThrow(/image\.sample: is not known/);
  });
});
