/** CPU accounting on this very process, and between samples. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { cpuAt, cpuMsOf, meterCpu } from '../../bench/cpu.ts';

/** Keeps the processor busy until it has used so much time. */
function burn(cpuMs: number): void {
  const from = process.cpuUsage();
  for (;;) {
    const { user, system } = process.cpuUsage(from);
    if ((user + system) / 1_000 >= cpuMs) return;
  }
}

describe('cpu accounting', () => {
  test('agrees with what the process knows of itself', () => {
    const before = cpuMsOf(process.pid);
    burn(300);
    const used = cpuMsOf(process.pid) - before;
    const { user, system } = process.cpuUsage();
    assert.ok(used >= 280, `${used} ms`);
    assert.ok(Math.abs(cpuMsOf(process.pid) - (user + system) / 1_000) < 100);
  });

  test('counts children with their parent', async () => {
    const burning = 'const end = Date.now() + 60_000; while (Date.now() < end);';
    const parent = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(burning)}])
      .on("spawn", () => console.log("up")).unref(); setTimeout(() => {}, 60_000);`;
    const child = spawn(process.execPath, ['-e', parent], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      const meter = meterCpu([child.pid!], { everyMs: 20 });
      const fromMs = Date.now();
      let used = 0;
      while (used < 200) {
        await new Promise(resolve => setTimeout(resolve, 50));
        [used] = meter.between(fromMs, Date.now()) as [number];
      }
      meter.stop();
      assert.ok(meter.peakBytes()[0]! > 10_000_000);
    } finally {
      process.kill(-child.pid!, 'SIGKILL');
    }
  });

  test('interpolates between two samples and holds still outside of them', () => {
    const samples = [
      { atMs: 1_000, cpuMs: [0, 500] },
      { atMs: 2_000, cpuMs: [100, 500] },
    ];
    assert.equal(cpuAt(samples, 0, 1_500), 50);
    assert.equal(cpuAt(samples, 1, 1_500), 500);
    assert.equal(cpuAt(samples, 0, 500), 0);
    assert.equal(cpuAt(samples, 0, 9_000), 100);
  });
});
