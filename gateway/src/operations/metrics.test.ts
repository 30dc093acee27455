import { readFileSync } from 'node:fs';
import { RunState } from '@jsigr/proto';
import { expect, test } from 'vitest';
import { Metrics } from './metrics.ts';

test('every number of the Grafana dashboard and of the alerts is one that the gateway gives', async () => {
  const metrics = new Metrics();
  metrics.call('grpc', 'x')('OK');
  metrics.watch({
    pool: { list: () => [{ id: 'w', kind: 'trainer', address: '', users: 0 }] } as never,
    runs: {
      census: async () => [{ kind: 'training', state: RunState.RUN_STATE_QUEUED, count: 3 }],
      lastHeard: async () => [{ kind: 'training', id: 'r', time: new Date(Date.now() - 90_000) }],
      training: async () => [{ id: 'r', summary: { progress: { imagesPerSecond: 12.5 } } }] as never,
    },
    explanations: () => 2,
    registry: { gpuMemory: () => [{ kind: 'trainer', worker: 'w', memory: { usedBytes: 7, totalBytes: 9 } }] },
  });
  const text = await metrics.text();
  expect(text).toContain('jsigr_runs{kind="training",state="QUEUED"} 3');
  expect(text).toContain('jsigr_training_images_per_second{run="r"} 12.5');
  expect(text).toContain('jsigr_explanations_open 2');
  expect(text).toContain('jsigr_gpu_memory_bytes{kind="trainer",worker="w",state="used"} 7');
  expect(text).toContain('jsigr_gpu_memory_bytes{kind="trainer",worker="w",state="total"} 9');
  expect(text).toMatch(/^jsigr_run_silence_seconds\{kind="training",run="r"\} 9\d/m);
  for (const [file, least] of [
    ['grafana-dashboard.json', 8],
    ['rules.yaml', 6],
  ] as const) {
    const monitoring = new URL(`../../../k8s/components/monitoring/${file}`, import.meta.url);
    const used = new Set(readFileSync(monitoring, 'utf8').match(/\b(jsigr|process|nodejs)_[a-z0-9_]+/g));
    expect(used.size).toBeGreaterThanOrEqual(least);
    for (const name of used) expect(text, file).toMatch(new RegExp(`^${name}[{ ]`, 'm'));
  }
});
