/** Every storage call of a collection and a fence, in every way of dying. */
import { testCollectCrashes } from './collect-crash-fixture.ts';

testCollectCrashes({ every: 'way' });
