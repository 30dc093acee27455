// Writes the golden LayersModels beside this script, as TensorFlow.js itself saves them, with what it computes for them.
//
//   npm install --prefix DIR @tensorflow/tfjs@4.22.0 && cp make-layers.mjs DIR && node DIR/make-layers.mjs layers
//
// Each folder of `layers/` holds `model.json`, `weights.bin` and `expected.json`: the input, the output, the cotangent (weights of the output in
// the scalar that is differentiated) and the gradient of that scalar by the input. Written with Node 24 and @tensorflow/tfjs 4.22.0.
// The gradient is kept for `sequential` only: that of `functional` does not agree with central differences of TensorFlow.js' own outputs.
import { mkdirSync, writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';

const [target] = process.argv.slice(2);
const { layers } = tf;
const seeded = (seed) => tf.initializers.glorotUniform({ seed });
let seed = 1;
const kernel = () => ({
  kernelInitializer: seeded(seed++),
  biasInitializer: tf.initializers.randomUniform({ minval: -0.2, maxval: 0.2, seed: seed++ }),
});
const depthwise = () => ({ depthwiseInitializer: seeded(seed++), pointwiseInitializer: seeded(seed++) });
const statistics = () => ({
  gammaInitializer: tf.initializers.randomUniform({ minval: 0.5, maxval: 1.5, seed: seed++ }),
  movingMeanInitializer: tf.initializers.randomUniform({ minval: -0.2, maxval: 0.2, seed: seed++ }),
  movingVarianceInitializer: tf.initializers.randomUniform({ minval: 0.5, maxval: 1.5, seed: seed++ }),
});

function sequential() {
  return tf.sequential({
    layers: [
      layers.conv2d({
        inputShape: [10, 10, 3],
        filters: 6,
        kernelSize: 3,
        padding: 'same',
        activation: 'relu',
        ...kernel(),
      }),
      layers.batchNormalization(statistics()),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.depthwiseConv2d({
        kernelSize: 3,
        padding: 'same',
        depthMultiplier: 2,
        depthwiseInitializer: seeded(seed++),
      }),
      layers.activation({ activation: 'elu' }),
      layers.separableConv2d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same', ...depthwise() }),
      layers.leakyReLU({ alpha: 0.2 }),
      layers.flatten(),
      layers.dropout({ rate: 0.5 }),
      layers.dense({ units: 8, activation: 'tanh', ...kernel() }),
      layers.dense({ units: 4, activation: 'softmax', ...kernel() }),
    ],
  });
}

function functional() {
  const input = tf.input({ shape: [8, 8, 2] });
  const stem = layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same', ...kernel() }).apply(
    layers
      .zeroPadding2d({
        padding: [
          [1, 0],
          [0, 1],
        ],
      })
      .apply(input),
  );
  const left = layers.reLU({ maxValue: 6 }).apply(layers.batchNormalization(statistics()).apply(stem));
  const right = layers
    .conv2d({ filters: 4, kernelSize: 3, padding: 'same', activation: 'sigmoid', ...kernel() })
    .apply(stem);
  const sum = layers.add().apply([left, right]);
  const pooled = layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }).apply(sum);
  const large = layers.upSampling2d({ size: [2, 2] }).apply(pooled);
  const up = layers
    .conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same', activation: 'softplus', ...kernel() })
    .apply(large);
  const merged = layers
    .concatenate()
    .apply([layers.globalAveragePooling2d({}).apply(up), layers.globalMaxPooling2d({}).apply(left)]);
  return tf.model({ inputs: input, outputs: layers.dense({ units: 3, ...kernel() }).apply(merged) });
}

await tf.setBackend('cpu');
for (const [name, make] of Object.entries({ sequential, functional })) {
  const model = make();
  const [, ...shape] = model.inputs[0].shape;
  const x = tf.randomUniform([2, ...shape], 0, 1, 'float32', 7);
  const output = model.predict(x);
  const cotangent = tf.randomNormal(output.shape, 0, 1, 'float32', 8);
  const scalar = (images) => tf.sum(tf.mul(cotangent, model.apply(images, { training: false })));
  const folder = `${target}/${name}`;
  mkdirSync(folder, { recursive: true });
  await model.save(
    tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
      const manifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
      writeFileSync(
        `${folder}/model.json`,
        JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest: manifest }),
      );
      writeFileSync(`${folder}/weights.bin`, new Uint8Array(weightData));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  const array = (tensor) => ({
    shape: tensor.shape,
    data: [...tensor.dataSync()].map((value) => Number(value.toPrecision(9))),
  });
  const differentiated = name === 'sequential' && { cotangent: array(cotangent), gradient: array(tf.grad(scalar)(x)) };
  const expected = { input: array(x), output: array(output), ...differentiated };
  writeFileSync(`${folder}/expected.json`, `${JSON.stringify(expected)}\n`);
}
