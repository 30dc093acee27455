import { randomBytes } from 'node:crypto';
import type { RunState } from '@jsigr/proto';
import { notFound } from '@jsigr/service';
import type { Selectable } from 'kysely';
import { jsonText } from './json.ts';
import type { RunKind, Tables } from './schema.ts';

/** Parsed JSON of an object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** From where a run goes on when its worker is gone: an artefact of the run. */
export interface ResumePoint {
  readonly kind: 'models' | 'states';
  readonly digest: string;
  /** Steps that were made by then; of an evaluation the units of work. */
  readonly step: number;
}

/** What one of the workers that share a run has come to: from where it goes on, or what it found. */
export interface RunPart {
  readonly resumePoint?: ResumePoint;
  /** A RobustnessReport in protobuf's JSON. */
  readonly report?: unknown;
}

/** Whom a run was given to. */
export interface RunWorker {
  readonly id: string;
  /** host:port */
  readonly address: string;
  readonly fencingToken: number;
  /** Of the token that it shows, by `tokenDigest`. */
  readonly tokenDigest: string;
}

/** A run as it is stored, whatever its kind. */
export interface StoredRun {
  readonly id: string;
  readonly tenant: string;
  readonly kind: RunKind;
  readonly displayName: string;
  /** TrainingSpec or EvaluationSpec in protobuf's JSON. */
  readonly spec: unknown;
  readonly state: RunState;
  readonly reason: string;
  readonly createTime: Date;
  readonly startTime: Date | undefined;
  readonly endTime: Date | undefined;
  readonly lastSequence: number;
  /** Changes with the state, and with nothing else. */
  readonly etag: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: JsonObject;
  /** How often it was begun again, and how often without having come any further since. */
  readonly retries: number;
  readonly retriesInPlace: number;
  readonly resumePoint: ResumePoint | undefined;
  /** That it was claimed with last. */
  readonly fencingToken: number;
  readonly worker: RunWorker | undefined;
  /** Of its events the newest that was taken over, by the worker's own number. */
  readonly workerSequence: number;
  /** Of the trace that the run belongs to, as a `traceparent` header has it. */
  readonly traceParent: string | undefined;
}

/** Keys of a summary that lie in a column of their own, all of them together: a run has one of them. */
const REPORTS: readonly string[] = ['latestReport', 'report', 'transferMatrix'];

/** A summary as it is stored. @returns report: undefined where there is none in it */
export function columnsOf(summary: JsonObject): { readonly summary: string; readonly report: string | undefined } {
  const entries = Object.entries(summary);
  const reports = entries.filter(([key]) => REPORTS.includes(key));
  return {
    summary: jsonText(Object.fromEntries(entries.filter(([key]) => !REPORTS.includes(key)))),
    report: reports.length > 0 ? jsonText(Object.fromEntries(reports)) : undefined,
  };
}

export function storedRun(row: Selectable<Tables['runs']>): StoredRun {
  return {
    id: row.id,
    tenant: row.tenant,
    kind: row.kind,
    displayName: row.display_name,
    spec: row.spec,
    state: row.state,
    reason: row.reason,
    createTime: row.create_time,
    startTime: row.start_time ?? undefined,
    endTime: row.end_time ?? undefined,
    lastSequence: row.last_sequence,
    etag: String(row.state_sequence),
    labels: row.labels as Record<string, string>,
    summary: { ...(row.summary as JsonObject), ...(row.report as JsonObject | null) },
    retries: row.retries,
    retriesInPlace: row.retries_in_place,
    resumePoint: (row.resume_point as ResumePoint | null) ?? undefined,
    fencingToken: row.fencing_token,
    worker: (row.worker as RunWorker | null) ?? undefined,
    workerSequence: row.worker_sequence,
    traceParent: row.trace_parent ?? undefined,
  };
}

/** What runs of each kind are called in names. */
export const runCollections = { training: 'trainingRuns', evaluation: 'evaluations' } as const;

/** A run's name in the contract. */
export function runName({ kind, id }: Pick<StoredRun, 'kind' | 'id'>): string {
  return `${runCollections[kind]}/${id}`;
}

export function runNotFound(run: Pick<StoredRun, 'kind' | 'id'>): Error {
  return notFound(run.kind === 'training' ? 'training run' : 'evaluation', runName(run));
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** 12 letters and digits, 60 random bits. */
export function newId(): string {
  return Array.from(randomBytes(12), (byte) => ALPHABET[byte & 31]).join('');
}
