def efficientnet_v2_s(*args, **kwargs):
    raise NotImplementedError("no test runs Stable Cascade")
