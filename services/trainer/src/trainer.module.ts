import type { ServerWritableStream } from '@grpc/grpc-js';
import type {
  EndFollowingRequest,
  EndFollowingResponse,
  ReportRobustnessRequest,
  ReportRobustnessResponse,
  StartTrainingRequest,
  StartTrainingResponse,
  StopTrainingRequest,
  StopTrainingResponse,
  StreamCheckpointsRequest,
  StreamCheckpointsResponse,
  WatchTrainingRequest,
  WatchTrainingResponse,
} from '@jsigr/proto';
import { handle, pump, type WorkerContext } from '@jsigr/service';
import { Controller, type DynamicModule, Inject, Module, type OnModuleDestroy } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { Trainer } from './trainer.ts';

@Controller()
export class TrainerController implements OnModuleDestroy {
  constructor(@Inject(Trainer) private readonly trainer: Trainer) {}

  @GrpcMethod('TrainerService', 'startTraining')
  startTraining(request: StartTrainingRequest): Promise<StartTrainingResponse> {
    return handle(async () => {
      await this.trainer.start(request);
      return {};
    });
  }

  @GrpcStreamCall('TrainerService', 'watchTraining')
  watchTraining(call: ServerWritableStream<WatchTrainingRequest, WatchTrainingResponse>): Promise<void> {
    return pump(call, (signal) => this.trainer.watch(call.request, signal));
  }

  @GrpcMethod('TrainerService', 'stopTraining')
  stopTraining(request: StopTrainingRequest): Promise<StopTrainingResponse> {
    return handle(async () => {
      await this.trainer.stop(request);
      return {};
    });
  }

  @GrpcStreamCall('TrainerService', 'streamCheckpoints')
  streamCheckpoints(call: ServerWritableStream<StreamCheckpointsRequest, StreamCheckpointsResponse>): Promise<void> {
    return pump(call, (signal) => this.trainer.streamCheckpoints(call.request, signal));
  }

  @GrpcMethod('TrainerService', 'reportRobustness')
  reportRobustness(request: ReportRobustnessRequest): Promise<ReportRobustnessResponse> {
    return handle(async () => {
      await this.trainer.report(request);
      return {};
    });
  }

  @GrpcMethod('TrainerService', 'endFollowing')
  endFollowing({ run }: EndFollowingRequest): Promise<EndFollowingResponse> {
    return handle(() => {
      this.trainer.endFollowing(run);
      return {};
    });
  }

  onModuleDestroy(): Promise<void> {
    return this.trainer.close();
  }
}

@Module({})
class TrainerModule {}

/** The trainer as a NestJS module. */
export function trainerModule(context: WorkerContext): DynamicModule {
  return {
    module: TrainerModule,
    controllers: [TrainerController],
    providers: [{ provide: Trainer, useFactory: () => new Trainer(context) }],
  };
}
