import { Dataset, Model } from '@jsigr/proto';
import { type Kysely, sql } from 'kysely';
import { jsonText } from './json.ts';
import { type Page, type PageRequest, pageOf, pageStart } from './paging.ts';
import { DEFAULT_TENANT, type Tables } from './schema.ts';

/** What is known of the checkpoints in the artefact store. */
export class ModelStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  /**
   * What a tenant has already keeps what was said of it first. A checkpoint belongs to the tenant of its run.
   * @param tenant of a model that no run made
   */
  async add(digest: string, run: string, model: Model, tenant: string = DEFAULT_TENANT): Promise<void> {
    await this.#database
      .insertInto('models')
      .values({
        digest,
        tenant: sql<string>`coalesce((select runs.tenant from runs where runs.id = ${run}), ${tenant})`,
        run,
        step: model.step,
        create_time: model.createTime ?? new Date(),
        info: jsonText(Model.toJSON(model)),
      })
      .onConflict((conflict) => conflict.columns(['digest', 'tenant']).doNothing())
      .execute();
  }

  /** Models whose digest begins with these digits, of these tenants or of all, at most two: enough to see that there is more than one. */
  async startingWith(digits: string, tenants?: readonly string[]): Promise<Model[]> {
    const rows = await this.#database
      .selectFrom('models')
      .distinctOn('digest')
      .select(['info', 'tenant'])
      .where('digest', 'like', `${digits}%`)
      .$if(tenants !== undefined, (query) => query.where('tenant', 'in', tenants ?? []))
      .orderBy('digest')
      .orderBy('number', 'desc')
      .limit(2)
      .execute();
    return rows.map(modelOf);
  }

  async digests(): Promise<ReadonlySet<string>> {
    const rows = await this.#database.selectFrom('models').select('digest').execute();
    return new Set(rows.map(({ digest }) => digest));
  }

  /** Newest first; of one run, or of all where `run` is empty; of these tenants, or of all. */
  async list(run: string, request: PageRequest, tenants?: readonly string[]): Promise<Page<Model>> {
    const scope = `models:${run}`;
    const { limit, below } = pageStart(scope, request);
    const rows = await this.#database
      .selectFrom('models')
      .select(['number', 'info', 'tenant'])
      .$if(tenants !== undefined, (query) => query.where('tenant', 'in', tenants ?? []))
      .$if(run !== '', (query) => query.where('run', '=', run))
      .$if(below !== undefined, (query) => query.where('number', '<', below ?? 0))
      .orderBy('number', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf(scope, rows, limit, modelOf);
  }
}

function modelOf({ info, tenant }: { readonly info: unknown; readonly tenant: string }): Model {
  return { ...Model.fromJSON(info), tenant };
}

/** Datasets by the name that they were imported under. */
export class DatasetStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  /** @returns false when the id is taken; then nothing is changed. */
  async add(id: string, dataset: Dataset): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#database
      .insertInto('datasets')
      .values({
        id,
        digest: dataset.digest,
        embedded: dataset.embedded,
        create_time: dataset.createTime ?? new Date(),
        info: jsonText(Dataset.toJSON(dataset)),
      })
      .onConflict((conflict) => conflict.column('id').doNothing())
      .executeTakeFirstOrThrow();
    return (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  async find(id: string): Promise<Dataset | undefined> {
    const row = await this.#database.selectFrom('datasets').select('info').where('id', '=', id).executeTakeFirst();
    return row && Dataset.fromJSON(row.info);
  }

  async remove(id: string): Promise<void> {
    await this.#database.deleteFrom('datasets').where('id', '=', id).execute();
  }

  async ids(): Promise<string[]> {
    const rows = await this.#database.selectFrom('datasets').select('id').orderBy('number').execute();
    return rows.map(({ id }) => id);
  }

  /** Newest first. */
  async list(request: PageRequest): Promise<Page<Dataset>> {
    const { limit, below } = pageStart('datasets', request);
    const rows = await this.#database
      .selectFrom('datasets')
      .select(['number', 'info'])
      .$if(below !== undefined, (query) => query.where('number', '<', below ?? 0))
      .orderBy('number', 'desc')
      .limit(limit + 1)
      .execute();
    return pageOf('datasets', rows, limit, ({ info }) => Dataset.fromJSON(info));
  }
}
