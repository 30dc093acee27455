type Json = unknown;
type JsonObject = Readonly<Record<string, Json>>;

/**
 * Lists whose items have names: an item is merged into that of the same name. Other lists are replaced, as the API server's strategic merge does; but a
 * toleration takes nothing from those that are there.
 */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort'],
  imagePullSecrets: ['name'],
  resourceClaims: ['name'],
  topologySpreadConstraints: ['topologyKey'],
  tolerations: ['key', 'operator', 'value', 'effect'],
};

/** The patch over the base: objects field by field, named lists item by item; null takes a field away. */
export function mergeStrategically<T>(base: T, patch: Json, field = ''): T {
  if (isObject(base) && isObject(patch)) {
    const merged: Record<string, Json> = { ...base };
    for (const [name, value] of Object.entries(patch)) {
      if (value === null) delete merged[name];
      else merged[name] = mergeStrategically(merged[name], value, name);
    }
    return merged as T;
  }
  const keys = KEYS[field];
  if (Array.isArray(base) && Array.isArray(patch) && keys) return mergeNamed(base, patch, keys) as T;
  return patch as T;
}

function mergeNamed(base: readonly Json[], patch: readonly Json[], keys: readonly string[]): Json[] {
  const nameOf = (item: Json) => JSON.stringify(keys.map((key) => (isObject(item) ? item[key] : undefined)));
  const added = patch.filter((item) => !base.some((each) => nameOf(each) === nameOf(item)));
  const kept = base.map((each) => {
    const change = patch.find((item) => nameOf(item) === nameOf(each));
    return change === undefined ? each : mergeStrategically(each, change);
  });
  return [...kept, ...added];
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
