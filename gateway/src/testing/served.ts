import { ExplainResponse } from '@jsigr/proto';
import { httpControllers } from '../http/http-server.ts';
import { type HttpRoute, routesOf } from '../http/routes.ts';
import { memoryStore } from '../store/testing.ts';
import { grpcFace, httpFace } from './faces.ts';
import { testGateway } from './gateway.ts';

/** A gateway in this process with both faces, a few things in it, and workers that do nothing. */
export interface ServedGateway {
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /** `package.Service/Method` of everything that it answers over gRPC. */
  readonly methods: readonly string[];
  readonly routes: readonly HttpRoute[];
  /** Token of a worker that it expects. */
  readonly workerToken: string;
  /** Names of what there is in it. */
  readonly names: readonly string[];
  close(): Promise<void>;
}

/** @param activeRuns how many runs there may be: whoever creates more is refused, and memory stays bounded */
export async function servedGateway(activeRuns: number): Promise<ServedGateway> {
  const store = await memoryStore();
  const limits = { activeRuns, requestsPerSecond: 1_000_000, burst: 1_000_000 };
  const gateway = await testGateway(store, { limits });
  gateway.pool.onExplainer = (explainer) => {
    explainer.answer = () => ({ response: ExplainResponse.fromPartial({}) });
  };
  const { application } = gateway;
  const [grpc, http] = await Promise.all([grpcFace(gateway), httpFace(gateway)]);
  const run = await store.runs.create({ kind: 'training', spec: {} });
  const evaluation = await store.runs.create({ kind: 'evaluation', spec: {} });
  const model = await gateway.checkpoint(1);
  await application.models.record(model.replace('models/', ''));
  // Made before it is asked for: on a busy machine it takes long.
  await application.datasets.byId('glyphs');
  application.registry.expect('w1', { kind: 'trainer', onRegistered: () => {}, onGone: () => {} });
  const { handlers } = grpc.server as unknown as { handlers: Map<string, unknown> };
  return {
    grpcAddress: grpc.address,
    httpAddress: http.address,
    methods: [...handlers.keys()].map((path) => path.slice(1)),
    routes: routesOf(httpControllers),
    workerToken: gateway.credentials.worker('w1'),
    names: [`trainingRuns/${run.id}`, `evaluations/${evaluation.id}`, model, 'datasets/tiny', 'datasets/glyphs'],
    async close() {
      await http.close();
      await grpc.close(0);
      await gateway.close();
      await store.close();
    },
  };
}
