import type { RunState } from '@jsigr/proto';
import type { ColumnType, Generated } from 'kysely';

/** JSON goes in as text and comes out parsed. */
type Json = ColumnType<unknown, string, string>;
/** Identity columns: the order of creation, and what page tokens point at. */
type Number = Generated<number>;

/** Of everything where nobody signs in. */
export const DEFAULT_TENANT = 'default';
/** Of what everybody may see: surrogates. */
export const SHARED_TENANT = 'shared';

export type RunKind = 'training' | 'evaluation';

interface RunsTable {
  number: Number;
  id: string;
  tenant: string;
  kind: RunKind;
  display_name: string;
  spec: Json;
  state: RunState;
  reason: string;
  create_time: Date;
  start_time: Date | null;
  end_time: Date | null;
  last_sequence: number;
  /** Sequence number of the event that made the state what it is. */
  state_sequence: number;
  labels: Json;
  /** What follows from the events: newest models, progress. */
  summary: Json;
  /** The part of the summary that is a report or a matrix; null before there is one. */
  report: ColumnType<unknown, string | undefined, string>;
  /** That the run was claimed with last; 0 before. */
  fencing_token: Generated<number>;
  /** How often the run was begun again; how often since it came further. */
  retries: Generated<number>;
  retries_in_place: Generated<number>;
  /** The RunWorker that the run was given to last. */
  worker: ColumnType<unknown, string | undefined, string>;
  /** Of its events the newest that was taken over, by the worker's own number. */
  worker_sequence: Generated<number>;
  /** `traceparent` of the call that created the run; null where nobody traced it. */
  trace_parent: ColumnType<string | null, string | null | undefined, string | null>;
  /** A ResumePoint. */
  resume_point: ColumnType<unknown, string | undefined, string>;
}

interface RunEventsTable {
  run: string;
  sequence: number;
  time: Date;
  /** A RunEvent in protobuf's JSON. */
  payload: Json;
}

interface RunPartsTable {
  run: string;
  part: number;
  /** A RunPart. */
  content: Json;
}

interface RequestIdsTable {
  tenant: string;
  kind: RunKind;
  request_id: string;
  /** sha256 of the request, to tell a repetition from another request under the same id. */
  fingerprint: string;
  run: string;
}

interface ModelsTable {
  number: Number;
  digest: string;
  tenant: string;
  /** Id of the run that made it, without prefix; empty where it is not known. */
  run: string;
  step: number;
  create_time: Date;
  /** A Model in protobuf's JSON. */
  info: Json;
}

interface DatasetsTable {
  number: Number;
  id: string;
  digest: string;
  embedded: boolean;
  create_time: Date;
  /** A Dataset in protobuf's JSON. */
  info: Json;
}

interface SequencesTable {
  name: string;
  value: number;
}

export interface Tables {
  runs: RunsTable;
  run_events: RunEventsTable;
  run_parts: RunPartsTable;
  request_ids: RequestIdsTable;
  models: ModelsTable;
  datasets: DatasetsTable;
  sequences: SequencesTable;
  schema_version: { version: number };
}
