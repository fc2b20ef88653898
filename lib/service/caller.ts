/**
 * On whose behalf something is asked for: so much as commands need of that. Roles are the API's affair (`control/roles.ts`);
 * here it is known what a bundle's pipeline is called, which a caller who may deploy some must be judged by.
 */
export interface Caller {
  /** What it is called in specs. */
  readonly name: string;
  /** Whether it may hear of this pipeline. */
  sees(pipeline: string): boolean;
  /** Throws PERMISSION_DENIED: it may not say what runs under this name. */
  checkDeploy(pipeline: string): void;
}

/** Nobody has been asked who it is. */
export const ANYONE = 'anyone';

/** May all. */
export const anyone: Caller = { name: ANYONE, sees: () => true, checkDeploy() {} };
