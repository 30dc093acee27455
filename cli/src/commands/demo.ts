import { join } from 'node:path';
import { Command, Option } from 'commander';
import { type CommandGroup, type Context, dataDirectory, examples, type GlobalOptions, pathOf } from '../context.ts';
import { runDemo } from '../demo/demo.ts';
import { demoPlan, EPSILON, quickPlan } from '../demo/plan.ts';
import { summaryText } from '../demo/summary.ts';
import { checkTarget, once, saveStream } from '../files.ts';
import { integer } from '../options.ts';
import { fleeting, outputOf } from '../output.ts';
import { renderReport } from '../report/render.ts';
import { withSession } from '../session.ts';
import { urlOf } from '../terminal/format.ts';
import { version } from '../version.ts';

interface DemoOptions extends GlobalOptions {
  readonly report?: string;
  readonly seed: number;
  readonly quick: boolean;
}

export const demoCommand: CommandGroup = (context) =>
  new Command('demo')
    .description(
      'train three small models while they are attacked, attack and explain them, write a report (about 5 minutes on 2 cores)',
    )
    .option('--report <file.html>', 'where the report goes (default: report.html in the data directory)')
    .addOption(new Option('--seed <number>', '0..4294967295').argParser(integer(0)).default(1))
    .option('--quick', 'the smallest sizes: shows that everything works, its figures mean nothing', false)
    .addHelpText('after', examples('jsigr demo', 'jsigr demo --seed 7 --report seed7.html'))
    .action(async (_: unknown, command: Command) => demo(command.optsWithGlobals<DemoOptions>(), context));

async function demo(options: DemoOptions, context: Context): Promise<void> {
  const { terminal } = context;
  const report = options.report
    ? pathOf(options.report, terminal)
    : join(dataDirectory(options, terminal), 'report.html');
  const output = outputOf(options, context);
  await checkTarget(report);
  await withSession(options, context, async (session) => {
    if (session.httpAddress) output.say(`HTTP     ${urlOf(session.httpAddress)}/v1/trainingRuns`);
    output.say(`gateway  ${session.address}`);
    output.say(`report   ${report} (when done)\n`);
    const { seed, quick } = options;
    const command = `jsigr demo --seed ${seed}${quick ? ' --quick' : ''}`;
    const plan = quick ? quickPlan : demoPlan;
    const data = await runDemo({ plan, seed, command, version, session, output: fleeting(output), context });
    await saveStream(report, once(Buffer.from(renderReport(data))));
    if (options.output === 'json') terminal.out(`${JSON.stringify({ report })}\n`);
    output.say(`\n${summaryText(data, terminal.bold)}`);
    output.say(`report: ${report}\n`);
    output.say('Next:');
    const best = data.models.at(-1);
    for (const next of [
      `npx jsigr evaluate ${best?.run} --attack pgd:${EPSILON}:steps=100,restarts=5`,
      `npx jsigr explain ${best?.run} --sample glyphs:3 --method integrated-gradients --out overlay.png`,
      'npx jsigr up',
    ])
      output.say(`  ${next}`);
  });
}
