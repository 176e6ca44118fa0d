// SPDX-License-Identifier: Apache-2.0

package rollout

// release compares the HelmRelease, and says how far Flux has come with it.
func (c *comparison) release() error {
	held, object := c.held.Release, title(c.want.Release)
	if held == nil {
		c.find(ReleaseMissing, object, "it is not there: Flux has not applied the environment; look at its Kustomizations: flux get kustomizations")
		return nil
	}
	if err := c.differences(ReleaseDiffers, held, c.want.Release, func(path string) bool { return below(path, "spec.values") }); err != nil {
		return err
	}
	if suspended, _ := at(held, "spec", "suspend").(bool); suspended {
		c.find(ReleaseSuspended, object, "it is suspended: Flux installs nothing; flux resume helmrelease %s", text(held, "metadata", "name"))
	}
	c.progress(held, object)
	return nil
}

// progress says what Flux says of the release.
func (c *comparison) progress(held map[string]any, object string) {
	generation, observed := number(held, "metadata", "generation"), number(held, "status", "observedGeneration")
	if observed < generation {
		c.find(ReleaseUnobserved, object, "Flux has seen generation %d of %d: helm-controller is not running, or waits for what the release depends on", max(observed, 0), generation)
	}
	switch ready := condition(held, "Ready"); {
	case ready == nil:
		c.find(ReleaseNotReady, object, "it has no condition Ready: Flux has not looked at it yet")
	case text(ready, "status") != "True":
		c.find(ReleaseNotReady, object, "Ready is %s (%s): %s", text(ready, "status"), text(ready, "reason"), text(ready, "message"))
	}
	history := objects(held, "status", "history")
	if len(history) == 0 {
		c.notJudged("which chart version is installed: the release has no history")
		return
	}
	if have := text(history[0], "chartVersion"); have != c.want.ChartVersion {
		c.find(ReleaseVersion, object, "chart version %s is installed (%s), want %s", have, text(history[0], "status"), c.want.ChartVersion)
	}
}

// condition gives one of an object's conditions, or nil.
func condition(o map[string]any, kind string) map[string]any {
	for _, c := range objects(o, "status", "conditions") {
		if text(c, "type") == kind {
			return c
		}
	}
	return nil
}
