import { EngineError } from './errors.ts';

export const ENGINES = ['onnx', 'tensorflow', 'reference'] as const;
export type EngineName = (typeof ENGINES)[number];
export const DEVICES = ['cpu', 'cuda', 'webgpu'] as const;
export type DeviceName = (typeof DEVICES)[number];

/** What runs the graphs, on what, and why just that. */
export interface Choice {
  readonly engine: EngineName;
  readonly device: DeviceName;
  readonly reason: string;
}

/** What hinders an engine from running on a device, and how to mend it; `undefined`: nothing does. */
export type Obstacle = () => Promise<string | undefined>;
/** For each engine the devices that it can run on. */
export type Obstacles = Readonly<Record<EngineName, Partial<Readonly<Record<DeviceName, Obstacle>>>>>;

const DEFAULT_ENGINE: EngineName = 'onnx';
/** In this order; WebGPU only for those who ask, because ONNX Runtime calls it experimental. */
const AUTOMATIC_DEVICES: readonly DeviceName[] = ['cuda', 'cpu'];

/**
 * The engine and device that are wanted, or the best that are there: `auto` takes onnx, on CUDA if that works, else on the CPU. Nothing that was
 * asked for is ever replaced by something else.
 * @throws EngineError INVALID_INPUT if there is no such engine, device or combination; MISSING_ENGINE, saying how to get it, if it is not there.
 */
export async function chooseEngine(
  {
    engine = 'auto',
    device = 'auto',
  }: { engine?: EngineName | 'auto' | undefined; device?: DeviceName | 'auto' | undefined },
  obstacles: Obstacles,
): Promise<Choice> {
  checkName('engine', engine, ENGINES);
  checkName('device', device, DEVICES);
  const name = engine === 'auto' ? DEFAULT_ENGINE : engine;
  const why = engine === 'auto' ? 'the default engine' : 'the engine that was asked for';
  return device === 'auto' ? automatic(name, why, obstacles[name]) : asked(name, device, why, obstacles[name]);
}

async function asked(
  engine: EngineName,
  device: DeviceName,
  why: string,
  devices: Obstacles[EngineName],
): Promise<Choice> {
  const obstacle = devices[device];
  if (!obstacle)
    throw new EngineError(
      'INVALID_INPUT',
      `the engine '${engine}' does not run on ${device}; it runs on ${Object.keys(devices).join(', ')}`,
    );
  const problem = await obstacle();
  if (problem) throw missing(engine, device, problem);
  return { engine, device, reason: `${why}, on the device that was asked for` };
}

async function automatic(engine: EngineName, why: string, devices: Obstacles[EngineName]): Promise<Choice> {
  const problems: string[] = [];
  for (const device of AUTOMATIC_DEVICES) {
    const obstacle = devices[device];
    if (!obstacle) continue;
    const problem = await obstacle();
    if (!problem) return { engine, device, reason: [why, ...problems].join('; ') };
    if (device === 'cpu') throw missing(engine, device, problem);
    problems.push(`not on ${device}: ${problem}`);
  }
  throw missing(engine, 'cpu', problems.join('; '));
}

function missing(engine: EngineName, device: DeviceName, problem: string): EngineError {
  return new EngineError('MISSING_ENGINE', `the engine '${engine}' cannot run on ${device}: ${problem}`);
}

function checkName(field: string, given: string, names: readonly string[]): void {
  if (given !== 'auto' && !names.includes(given))
    throw new EngineError('INVALID_INPUT', `${field} is '${given}'; there are auto, ${names.join(', ')}`);
}
