"""Stands in for kohya's LoRA network, the base class of the wheel's own: what a LoRA of a UNet needs of it."""

import torch


def get_block_index(name):
    return -1


class LoRANetwork(torch.nn.Module):
    """Holds the LoRA's modules; the wheel's subclass makes them."""

    UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
    UNET_TARGET_REPLACE_MODULE_CONV2D_3X3 = ["ResnetBlock2D", "Downsample2D", "Upsample2D"]
    TEXT_ENCODER_TARGET_REPLACE_MODULE = ["CLIPAttention", "CLIPMLP"]
    LORA_PREFIX_UNET, LORA_PREFIX_TEXT_ENCODER = "lora_unet", "lora_te"
    LORA_PREFIX_TEXT_ENCODER1, LORA_PREFIX_TEXT_ENCODER2 = "lora_te1", "lora_te2"

    def apply_to(self, text_encoder, unet, apply_text_encoder=True, apply_unet=True):
        if not apply_text_encoder:
            self.text_encoder_loras = []
        if not apply_unet:
            self.unet_loras = []
        for module in self.text_encoder_loras + self.unet_loras:
            module.apply_to()
            self.add_module(module.lora_name, module)

    def prepare_optimizer_params(self, text_encoder_lr, unet_lr, default_lr):
        self.requires_grad_(True)
        learned = [weights for module in self.unet_loras for weights in module.parameters()]
        return [{"params": learned, "lr": unet_lr}] if learned else []

    def prepare_grad_etc(self, text_encoder, unet):
        self.requires_grad_(True)

    def enable_gradient_checkpointing(self):
        pass

    def get_trainable_params(self):
        return self.parameters()
