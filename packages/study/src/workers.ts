import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Files } from '@jsigr/datasets';
import type { EngineOptions } from '@jsigr/engine';
import type { Profile } from './profile.ts';
import { nameOfUnit, type Planned, planOf, type StudyUnit } from './units.ts';

/** What a worker needs before its first unit. */
export interface Start {
  readonly profile: Profile;
  readonly files: Files;
  readonly digest: string;
  /** Folders of the records and of the weights. */
  readonly out: string;
  readonly work: string;
  readonly compute: EngineOptions;
  /** How many processes there are. */
  readonly jobs: number;
}

/** What a worker says: that it wants a unit, a line for the log, or that the unit (or the start) failed. */
export type Answer =
  | { readonly type: 'ready' }
  | { readonly type: 'line'; readonly line: string }
  | { readonly type: 'failed'; readonly message: string };

export interface WorkersOptions extends Start {
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

const ENTRY = fileURLToPath(import.meta.resolve('@jsigr/study/worker'));

/**
 * Makes all units of a study in several processes, each unit as soon as those are made that it needs. A process of its own has a runtime of its own: small
 * models leave most of many cores, or of a GPU, idle.
 * @throws Error naming the unit that failed, or the signal's reason; the workers are gone then
 */
export async function makeInParallel({ log, signal, ...start }: WorkersOptions): Promise<void> {
  const { jobs } = start;
  const left = planOf(start.profile);
  const total = left.length;
  const made = new Set<string>();
  const isReady = ({ after }: Planned) => after.every((unit) => made.has(nameOfUnit(unit)));
  /** The next unit for a worker: of an architecture for which it has compiled already, if there is one. */
  const next = (architecture: string | undefined): StudyUnit | undefined => {
    const ready = left.filter(isReady);
    const found = ready.find(({ unit }) => architectureOf(unit) === architecture) ?? ready[0];
    if (found) left.splice(left.indexOf(found), 1);
    return found?.unit;
  };
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of waiting) each();
    waiting.clear();
  };
  const failing = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, failing.signal]) : failing.signal;
  stopped.addEventListener('abort', wake);

  async function work(): Promise<void> {
    const worker = new StudyWorker(log);
    const kill = () => worker.kill();
    stopped.addEventListener('abort', kill);
    try {
      await worker.send(start);
      let architecture: string | undefined;
      while (left.length > 0 && !stopped.aborted) {
        const unit = next(architecture);
        if (!unit) {
          await new Promise<void>((resolve) => waiting.add(resolve));
          continue;
        }
        architecture = architectureOf(unit);
        const name = nameOfUnit(unit);
        await worker.send(unit).catch((error: Error) => {
          throw new Error(`${name}: ${error.message}`, { cause: error });
        });
        made.add(name);
        log(`${made.size}/${total} ${name}`);
        wake();
      }
    } catch (error) {
      failing.abort(error);
    } finally {
      stopped.removeEventListener('abort', kill);
      worker.kill();
    }
  }

  await Promise.all(Array.from({ length: Math.min(jobs, total) }, work));
  stopped.throwIfAborted();
}

function architectureOf(unit: StudyUnit): string | undefined {
  return unit.kind === 'trial' ? undefined : unit.architecture;
}

class StudyWorker {
  readonly #child: ChildProcess;
  readonly #log: (line: string) => void;
  /** Why it has ended, once it has. */
  #ended: string | undefined;
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(log: (line: string) => void) {
    this.#log = log;
    this.#child = fork(ENTRY, [], {
      serialization: 'advanced',
      execArgv: ENTRY.endsWith('.ts') ? ['--conditions=source', '--disable-warning=ExperimentalWarning'] : [],
    });
    this.#child.on('message', (answer: Answer) => this.#hear(answer));
    this.#child.once('exit', (code, killer) => {
      this.#ended = `the worker process ended with ${killer ?? code}`;
      this.#settle?.reject(new Error(this.#ended));
    });
  }

  /** Resolves once the worker wants the next unit. @throws Error what it failed with */
  async send(message: Start | StudyUnit): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (this.#ended !== undefined) return reject(new Error(this.#ended));
      this.#settle = { resolve, reject };
      this.#child.send(message, (error) => error && reject(error));
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #hear(answer: Answer): void {
    if (answer.type === 'line') this.#log(answer.line);
    else if (answer.type === 'ready') this.#settle?.resolve();
    else this.#settle?.reject(new Error(answer.message));
  }
}
