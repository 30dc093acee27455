import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { PostgresServer } from '../../gateway/src/testing/postgres-server.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { Clients } from './clients.ts';
import { figuresOf, observe } from './observe.ts';
import { type Acknowledged, LOOPS, type Observations, reportFigures } from './oracle.ts';
import { evaluations, explanationsOf, trainings } from './recipes.ts';
import { importSmall } from './small-dataset.ts';
import { settings } from './world.ts';

/** What comes out where nothing is disturbed, and a data directory in which all of that is, for others to begin as. */
export interface Reference
  extends Pick<Observations, 'expected' | 'expectedReports' | 'expectedExplanations'>,
    AsyncDisposable {
  readonly data: string;
  /** Of the database beside the data directory. */
  readonly database: string | undefined;
  /** Last checkpoint of `plain`. */
  readonly model: string;
  /** The undisturbed runs themselves: they must stay what they are. */
  readonly acknowledged: readonly Acknowledged[];
}

export async function undisturbed(
  postgres: PostgresServer | undefined,
  say: (text: string) => void,
): Promise<Reference> {
  const database = await postgres?.newDatabase();
  const gateway = new GatewayProcess(undefined, {
    ...settings,
    ...(database ? { JSIGR_DATABASE_URL: database } : {}),
  });
  try {
    await gateway.start();
    await importSmall(gateway.grpcAddress, join(dirname(gateway.data), 'images'));
    const clients = new Clients(() => gateway.grpcAddress, 'undisturbed');
    const expected = new Map<string, unknown>();
    let model = '';
    for (const recipe of Object.keys(trainings)) {
      const name = await clients.create(recipe, model);
      await clients.watch(name);
      const { models } = await observe(clients, gateway.data);
      const own = models.filter(({ run }) => run === name);
      expected.set(recipe, Object.fromEntries(own.map(({ step, tensors }) => [step, tensors])));
      const last = Math.max(...own.map((each) => each.step));
      if (recipe === 'plain') model = own.find(({ step }) => step === last)?.name ?? '';
      say(`undisturbed ${recipe}: ${own.length} checkpoints`);
    }
    for (const recipe of Object.keys(evaluations)) {
      const name = await clients.create(recipe, model);
      await clients.watch(name);
      const run = await clients.get(name);
      expected.set(recipe, figuresOf(run && 'report' in run ? run.report : undefined));
    }
    // Attackers of shards have fewer threads each: the losses in their ledgers may be rounded otherwise.
    const [shared, whole] = ['sharded', 'evaluation'].map((recipe) => ({
      ...(expected.get(recipe) as object),
      ledger: '',
    }));
    if (!isDeepStrictEqual(shared, whole))
      throw new Error('the evaluation in shards is not the one that a single attacker makes');
    for (const which of explanationsOf(model).keys()) await clients.explain(model, which);
    const { events } = await observe(clients, gateway.data);
    const acknowledged = [...clients.acknowledged.values()];
    await gateway.stop('SIGTERM');
    if (clients.faults.length > 0) throw new Error(`undisturbed, and yet: ${clients.faults.join('; ')}`);
    say(`undisturbed ${Object.keys(evaluations).join(', ')} and ${clients.explained.length} explanations`);
    return {
      data: gateway.data,
      database,
      model,
      acknowledged,
      expected,
      expectedReports: reportsOf(acknowledged, events),
      expectedExplanations: new Map(clients.explained.map(({ which, answer }) => [which, answer])),
      [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
    };
  } catch (error) {
    await gateway[Symbol.asyncDispose]();
    throw error;
  }
}

/** Of the checkpoints that the attacker was in time for. */
function reportsOf(acknowledged: readonly Acknowledged[], events: Observations['events']): Map<string, unknown> {
  const found = acknowledged
    .filter(({ recipe }) => LOOPS.includes(recipe))
    .flatMap(({ name, recipe }) =>
      (events.get(name) ?? []).flatMap(({ payload }) =>
        payload?.$case === 'robustnessReported'
          ? [[`${recipe} ${payload.value.step}`, reportFigures(payload.value)] as const]
          : [],
      ),
    );
  return new Map(found);
}
