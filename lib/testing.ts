/**
 * Millrace for tests of pipelines: a pipeline in one thread, on virtual time, without a broker.
 *
 *   import { testPipeline } from 'millrace/testing';
 *
 *   const driver = testPipeline(hires);
 *   driver.push('hr.employee.hired', { employee: 'e1', site: 'berlin', at: '2026-03-01T08:00:00Z' });
 *   driver.finish();
 *   driver.read('analytics.hires.*');
 */
export { type PipelineDriver, type PushOptions, type TestOptions, testPipeline } from './tester/driver.ts';
export type { Moment } from './tester/given.ts';
export type { DeadRow, LateRow, Row } from './tester/results.ts';
export type { StateEntry } from './tester/state.ts';
