// A worker that keeps a trainer's contract and tells `JSIGR_BENCH_EVENTS` events a second, each with the time at which it was made. It loads no more
// than it needs, because many of them are started at once.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { RunEvent, TrainerServiceService, WorkerKind, WorkerRegistryServiceClient, } from '@jsigr/proto';
import { connect, unary } from '@jsigr/service/client';
import { HealthImplementation } from 'grpc-health-check';
import { EMITTED } from './emitted.js';
const RENEW_MS = 4000;
const { JSIGR_GATEWAY: address = '', JSIGR_WORKER_ID: workerId = '', JSIGR_WORKER_TOKEN: token = '' } = process.env;
const eventMs = 1000 / Number(process.env.JSIGR_BENCH_EVENTS);
process.once('disconnect', () => process.exit(1));
process.once('SIGTERM', () => process.exit(0));
const server = new Server();
const answer = (_, done) => done(null, {});
server.addService(TrainerServiceService, {
    startTraining: answer,
    stopTraining: answer,
    endFollowing: answer,
    watchTraining: tellEvents,
});
new HealthImplementation({ '': 'SERVING', 'jsigr.v1.TrainerService': 'SERVING' }).addToServer(server);
const port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => error ? reject(error) : resolve(bound));
});
const registry = connect(WorkerRegistryServiceClient, { address, token });
const worker = { kind: WorkerKind.WORKER_KIND_TRAINER, address: `127.0.0.1:${port}`, workerId, capacity: 1 };
const { leaseId } = await unary(registry, 'registerWorker', worker);
setInterval(() => unary(registry, 'renewLease', { leaseId, load: 1, draining: false, gpuMemory: undefined }).catch(() => process.exit(1)), RENEW_MS);
function tellEvents(call) {
    // Of many trainers none keeps step with another.
    const began = performance.now() + Math.random() * eventMs;
    const tell = (step) => {
        if (call.cancelled)
            return;
        call.write({ event: eventOf(step), outcome: undefined, resumePoint: undefined });
        setTimeout(tell, began + (step + 1) * eventMs - performance.now(), step + 1);
    };
    setTimeout(tell, began - performance.now(), 1);
}
function eventOf(step) {
    const metrics = [
        { name: 'loss', value: 2 / step },
        { name: 'accuracy', value: 1 - 1 / step },
        { name: EMITTED, value: performance.timeOrigin + performance.now() },
    ];
    const value = { step, totalSteps: 1_000_000, metrics, imagesPerSecond: 1000, secondsLeft: 1 };
    return RunEvent.fromPartial({
        sequence: step,
        time: new Date(),
        payload: { $case: 'trainingProgress', value },
    });
}
