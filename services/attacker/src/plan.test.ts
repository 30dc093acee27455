import { AttackError } from '@jsigr/attacks';
import { EvaluationPlan } from '@jsigr/proto';
import { JsigrError } from '@jsigr/service';
import { expect, test } from 'vitest';
import { evaluateArgument, inTermsOfPlan } from './plan.ts';

test('a plan of the contract becomes one of the attacks: typed settings, default norm and part', () => {
  const plan = EvaluationPlan.fromPartial({
    attacks: [{ attack: 'pgd', epsilons: [0.1], settings: { steps: '10', loss: 'margin' }, keepExamples: 2 }],
    samples: 5,
    seed: 3,
  });
  expect(evaluateArgument(plan, 'held-out')).toEqual({
    part: 'held-out',
    samples: 5,
    cascade: false,
    assessMasking: false,
    keepAdversarial: 0,
    maxQueries: 0,
    budget: {},
    smallestEpsilons: 0,
    seed: 3,
    keepExamples: [2],
    plan: [{ attack: 'pgd', norm: 'linf', epsilons: [0.1], settings: { steps: 10, loss: 'margin' } }],
  });
});

test('limits of a plan become a budget, and none where they are 0', () => {
  const plan = EvaluationPlan.fromPartial({ maxForwards: 1000, maxSeconds: 0.5 });
  expect(evaluateArgument(plan, 'test').budget).toEqual({ forwards: 1000, seconds: 0.5 });
});

test('what is to be certified has its defaults where the plan says 0', () => {
  const of = (certification: object) =>
    evaluateArgument(EvaluationPlan.fromPartial({ certification }), 'test').certification;
  expect(of({ sigma: 0.25 })).toEqual({ sigma: 0.25, samples: 100 });
  const all = { sigma: 0.5, samples: 7, draws: 500, alpha: 0.01 };
  expect(of(all)).toEqual({ sigma: 0.5, samples: 7, estimation: 500, alpha: 0.01 });
});

test.each([
  [undefined, 'plan'],
  [EvaluationPlan.fromPartial({ part: 'train' }), 'plan.part'],
  [EvaluationPlan.fromPartial({ attacks: [{ keepExamples: 17 }] }), 'plan.attacks[0].keepExamples'],
])('what does not fit the contract is refused by name (%#)', (plan, field) => {
  let error: unknown;
  try {
    evaluateArgument(plan, 'test');
  } catch (caught) {
    error = caught;
  }
  expect(JsigrError.from(error).violations.map((violation) => violation.field)).toEqual([field]);
});

test.each([
  ['plan[1].epsilons[0]', 'plan.attacks[1].epsilons[0]'],
  ['plan', 'plan.attacks'],
  ['plan.part', 'plan.part'],
  ['surrogates[0]', 'surrogateDigests[0]'],
  ['budget.forwards', 'plan.maxForwards'],
  ['budget.seconds', 'plan.maxSeconds'],
  ['certification.estimation', 'plan.certification.draws'],
  ['smallestEpsilons', 'plan.smallestEpsilons'],
])('what the attacks call %s the contract calls %s', (theirs, contract) => {
  const told = inTermsOfPlan(new AttackError('INVALID_PLAN', theirs, 'wrong'));
  expect(told.message).toBe(`${contract}: wrong`);
  expect(told.violations).toEqual([{ field: contract, description: `${contract}: wrong` }]);
});
