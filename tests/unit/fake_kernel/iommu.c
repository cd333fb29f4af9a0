/* No IOMMU: nothing of these is used. */
#include "mm/iommu_private.h"

struct iommu_backend iommu_vtd, iommu_amdvi;
