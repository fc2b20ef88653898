/** What processes use: asked of this very process, of a child of it, and between samples. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  cpuAt,
  cpuMsOf,
  folderBytes,
  meterCpu,
  peakBytesOf,
  residentBytesOf,
  writtenBytesOf,
} from '../../bench/usage.ts';

/** Keeps the processor busy until it has used so much time. */
function burn(cpuMs: number): void {
  const from = process.cpuUsage();
  for (;;) {
    const { user, system } = process.cpuUsage(from);
    if ((user + system) / 1_000 >= cpuMs) return;
  }
}

describe('usage', () => {
  test('of processor time agrees with what the process knows of itself', () => {
    const before = cpuMsOf(process.pid);
    burn(300);
    const used = cpuMsOf(process.pid) - before;
    const { user, system } = process.cpuUsage();
    assert.ok(used >= 280, `${used} ms`);
    assert.ok(Math.abs(cpuMsOf(process.pid) - (user + system) / 1_000) < 100);
  });

  test('of processor time counts children with their parent', async () => {
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
      assert.ok(peakBytesOf(child.pid!) > 10_000_000);
    } finally {
      process.kill(-child.pid!, 'SIGKILL');
    }
  });

  test('of processor time stays what it was when a process has ended', async () => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
    await once(child, 'spawn');
    const fromMs = Date.now();
    const meter = meterCpu([child.pid!], { everyMs: 10 });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await new Promise(resolve => setTimeout(resolve, 50));
    const [used] = meter.between(fromMs, Date.now());
    assert.ok(used !== undefined && used >= 0);
    meter.stop();
  });

  test('knows what a process holds and has written, and what lies in a folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-usage-'));
    try {
      const resident = residentBytesOf(process.pid);
      assert.ok(resident > 10_000_000 && resident <= peakBytesOf(process.pid));
      assert.ok(writtenBytesOf(process.pid) >= 0);
      mkdirSync(join(folder, 'below'));
      writeFileSync(join(folder, 'one'), 'x'.repeat(1_000));
      writeFileSync(join(folder, 'below', 'two'), 'x'.repeat(500));
      assert.equal(folderBytes(folder), 1_500);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('of processor time between two samples is interpolated, and holds still outside of them', () => {
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
