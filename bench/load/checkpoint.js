import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { encodeDataset, glyphs } from '@jsigr/datasets';
import { ModelServiceClient, RunState, StartTrainingRequest, StreamCheckpointsRequest, TrainerServiceClient, } from '@jsigr/proto';
import { directoryArtefactStore } from '@jsigr/service';
import { connect, serverStream, unary } from '@jsigr/service/client';
import { growthDuring, residentMegabytes, start } from './processes.js';
const WEIGHTS = 'weights.safetensors';
const RUN = 'trainingRuns/streamed';
/** A large checkpoint from a trainer, as an attacker pulls it, and from the gateway, as a client reads it. */
export async function measureStreaming(plan) {
    const { dataDirectory, bytes, execArgv } = plan;
    const artefacts = join(dataDirectory, 'artefacts');
    const model = await putCheckpoint(directoryArtefactStore(artefacts), bytes);
    const trainer = await start('checkpoint-trainer.ts', { artefacts }, execArgv);
    const client = connect(TrainerServiceClient, trainer.ready);
    let fromTrainer;
    try {
        await trainAfter(client, directoryArtefactStore(artefacts), model);
        // The rest of the checkpoint from the first byte of its weights on: the header comes before.
        const request = StreamCheckpointsRequest.fromPartial({ run: RUN, path: WEIGHTS });
        fromTrainer = await measured(plan, trainer.pid, async function* (signal) {
            for await (const { part } of serverStream(client, 'streamCheckpoints', request, { signal })) {
                if (part?.$case === 'chunk' && part.value.path === WEIGHTS)
                    yield part.value.data.length;
                if (part?.$case === 'endOfCheckpoint')
                    return;
            }
        });
    }
    finally {
        client.close();
        await trainer.stop();
    }
    process.env.JSIGR_BENCH_EVENTS = '1';
    const gateway = await start('gateway.ts', { dataDirectory, trainingsAtOnce: 1 }, execArgv);
    const models = connect(ModelServiceClient, gateway.ready);
    try {
        const request = { name: model, path: WEIGHTS, readOffset: 0 };
        const fromGateway = await measured(plan, gateway.pid, async function* (signal) {
            for await (const { data } of serverStream(models, 'readModelFile', request, { signal }))
                yield data.length;
        });
        return { trainer: fromTrainer, gateway: fromGateway };
    }
    finally {
        models.close();
        await gateway.stop();
    }
}
async function measured({ bytes, passes }, pid, lengths) {
    const rates = [];
    const beforeMB = residentMegabytes(pid);
    const { growthMB } = await growthDuring(pid, async () => {
        for (let pass = 0; pass < passes; pass++) {
            const began = performance.now();
            let received = 0;
            for await (const length of lengths(new AbortController().signal))
                received += length;
            if (received !== bytes)
                throw new Error(`${received} of ${bytes} bytes came`);
            rates.push(bytes / 1000 / (performance.now() - began));
        }
    });
    return { bytes, megabytesPerSecond: rates, beforeMB, growthMB };
}
async function putCheckpoint(artefacts, bytes) {
    const manifest = { run: RUN, step: 1, epoch: 1, model: { architecture: 'lenet', input: [28, 28, 1], classes: 10 } };
    const { digest } = await artefacts.put('models', {
        'manifest.json': Buffer.from(JSON.stringify(manifest)),
        [WEIGHTS]: randomFillSync(Buffer.alloc(bytes)),
    });
    return `models/${digest}`;
}
/** Has the trainer take up a run of which an earlier one saved this checkpoint, and waits for its end. */
async function trainAfter(client, artefacts, model) {
    const dataset = encodeDataset(glyphs({ variant: 'gray28', seed: 1, train: 256, test: 32 }));
    const { digest } = await artefacts.put('datasets', dataset);
    const request = StartTrainingRequest.fromPartial({
        run: RUN,
        datasetDigest: digest,
        spec: {
            dataset: 'datasets/glyphs',
            architecture: 'lenet',
            objective: 'standard',
            epochs: 1,
            batchSize: 32,
            activation: 'relu',
            norm: 'none',
            checkpointEveryEpochs: 1,
            optimizer: { name: 'adam', learningRate: 0.001, schedule: 'constant' },
        },
        resume: { checkpoints: [{ saved: { model, step: 1, epoch: 1 }, settled: false }] },
    });
    await unary(client, 'startTraining', request);
    for await (const { outcome } of serverStream(client, 'watchTraining', { run: RUN, afterSequence: 0 }))
        if (outcome && outcome.state !== RunState.RUN_STATE_SUCCEEDED)
            throw new Error(outcome.reason);
}
