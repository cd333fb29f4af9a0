/* The IOMMUs that root mode knows. */
#include "mm/iommu_private.h"

extern struct iommu_backend iommu_vtd, iommu_amdvi;

struct iommu_backend *const iommu_backends[] = {&iommu_vtd, &iommu_amdvi, NULL};
