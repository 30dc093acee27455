import type { RunState } from '@jsigr/proto';
import type { ColumnType, Generated } from 'kysely';

/** JSON goes in as text and comes out parsed. */
type Json = ColumnType<unknown, string, string>;
/** Identity columns: the order of creation, and what page tokens point at. */
type Number = Generated<number>;

export type RunKind = 'training' | 'evaluation';

interface RunsTable {
  number: Number;
  id: string;
  kind: RunKind;
  display_name: string;
  spec: Json;
  state: RunState;
  reason: string;
  create_time: Date;
  start_time: Date | null;
  end_time: Date | null;
  last_sequence: number;
  labels: Json;
  /** What follows from the events: newest model, progress, report. */
  summary: Json;
}

interface RunEventsTable {
  run: string;
  sequence: number;
  time: Date;
  /** A RunEvent in protobuf's JSON. */
  payload: Json;
}

interface RequestIdsTable {
  kind: RunKind;
  request_id: string;
  /** sha256 of the request, to tell a repetition from another request under the same id. */
  fingerprint: string;
  run: string;
}

interface ModelsTable {
  number: Number;
  digest: string;
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
  request_ids: RequestIdsTable;
  models: ModelsTable;
  datasets: DatasetsTable;
  sequences: SequencesTable;
  schema_version: { version: number };
}
