export { type Admission, admitOperation, type LockWish, type StepPlan } from './admit-operation.ts';
export { type ClaimedTask, type ClaimRequest, claimTasks } from './claim-tasks.ts';
export { cancelOperation, fenceHolder, fenceOperation, type Sweep, sweepOperations } from './end-operation.ts';
export { isFinal, type OperationState } from './operation-state.ts';
export {
  finishTask,
  type LogLine,
  type Progress,
  reportProgress,
  type TaskOutcome,
  type TaskReference,
} from './report-task.ts';
export { setCapacity } from './set-capacity.ts';
export { claimWhenThere, type WaitingClaim, WorkBell } from './wait-for-work.ts';
export type { OperationChange, OperationRow, WorkContext } from './work-context.ts';
