import { EvaluationPlan } from '@jsigr/proto';
import { invalidArgument } from '@jsigr/service/client';
import { parse } from 'yaml';
import { attack } from '../options.ts';
import { checkLike, isObject, type Json, type JsonObject, NUMBER, WHOLE } from './like.ts';
import { expandMatrix, type Sweep } from './matrix.ts';

export interface SweepFile extends Sweep {
  /** Attacks on every finished model, on held-out samples unless it says otherwise; absent: nothing is attacked. */
  readonly plan: EvaluationPlan | undefined;
}

const PARTS = ['training', 'matrix', 'evaluation'];
/** An evaluation that has everything a sweep may say of it. */
const EVALUATION = {
  attacks: ['pgd:0.1:steps=20'],
  samples: WHOLE,
  part: 'p',
  surrogates: ['s'],
  seed: WHOLE,
  maxForwards: Number.MAX_SAFE_INTEGER,
  maxBackwards: Number.MAX_SAFE_INTEGER,
  maxSeconds: NUMBER,
};

/**
 * A sweep from the text of its file (YAML or JSON).
 * @throws JsigrError INVALID_ARGUMENT naming the field of the file
 */
export function readSweep(text: string): SweepFile {
  const file = document(text);
  if (!isObject(file)) throw invalidArgument('file', `must be a mapping of ${PARTS.join(', ')}`);
  refuseUnknown(file, PARTS, 'file');
  const { training = {}, matrix = {}, evaluation } = file;
  if (!isObject(training)) throw invalidArgument('training', 'must be a mapping: what all runs share');
  if (!isObject(matrix)) throw invalidArgument('matrix', 'must be a mapping of fields to lists');
  return { ...expandMatrix(training, matrix), plan: evaluation === undefined ? undefined : planOf(evaluation) };
}

function document(text: string): Json {
  try {
    return parse(text, { logLevel: 'error' }) as Json;
  } catch (cause) {
    const [line = ''] = (cause instanceof Error ? cause.message : 'unreadable').split('\n');
    throw invalidArgument('file', `is not YAML: ${line}`);
  }
}

/** Attacks are written as on the command line: `pgd:0.1:steps=20`. */
function planOf(evaluation: Json): EvaluationPlan {
  checkLike(evaluation, EVALUATION, 'evaluation');
  const { attacks = [], ...rest } = evaluation as JsonObject;
  return EvaluationPlan.fromPartial({
    ...EvaluationPlan.fromJSON({ part: 'held-out', samples: 200, ...rest }),
    attacks: (attacks as readonly string[]).map((written, i) => {
      try {
        return attack(written);
      } catch (error) {
        throw invalidArgument(`evaluation.attacks[${i}]`, error instanceof Error ? error.message : String(error));
      }
    }),
  });
}

function refuseUnknown(given: object, known: readonly string[], field: string): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalidArgument(`${field}.${unknown}`, `is not known; known: ${known.join(', ')}`);
}
