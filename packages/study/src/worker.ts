// A process of a parallel study: makes the units that its parent sends, one after another.
import { decodeDataset } from '@jsigr/datasets';
import { createEngine } from '@jsigr/engine';
import { StudyStore } from './store.ts';
import { makeUnit } from './study.ts';
import { firstImages, machineOf } from './study-context.ts';
import { WeightsChanged } from './training.ts';
import type { StudyUnit } from './units.ts';
import type { Answer, Start } from './workers.ts';

const answer = (message: Answer) => process.send?.(message);

// The parent died: what was written is whole, and nobody waits for more.
process.once('disconnect', () => process.exit(1));
// A terminal sends ^C to all processes of its group: the parent decides.
process.on('SIGINT', () => {});
process.once('message', (start: Start) => void prepared(start));

async function prepared({ profile, files, digest, out, work, compute, jobs }: Start): Promise<void> {
  try {
    const engine = await createEngine(compute);
    const context = {
      ...{ profile, digest, engine, machine: machineOf(engine, jobs) },
      dataset: firstImages(decodeDataset(files), profile.images),
      store: new StudyStore(out, work),
      log: (line: string) => void answer({ type: 'line', line }),
    };
    process.on('message', (unit: StudyUnit) => void made(context, unit));
    answer({ type: 'ready' });
  } catch (error) {
    answer({ type: 'failed', message: messageOf(error) });
  }
}

async function made(context: Parameters<typeof makeUnit>[0], unit: StudyUnit): Promise<void> {
  try {
    for (;;)
      try {
        await makeUnit(context, unit);
        break;
      } catch (error) {
        if (!(error instanceof WeightsChanged)) throw error;
        context.log(error.message);
      }
    answer({ type: 'ready' });
  } catch (error) {
    answer({ type: 'failed', message: messageOf(error) });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
